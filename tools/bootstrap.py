"""Set up the environment in which everything else runs: ``make env`` calls it by way of python.sh.

Only the standard library, since nothing else is installed yet. The environment's stamp is written when all of
the lock is there, and one without it is built anew, so what a killed installation leaves is never used. Whatever
goes wrong ends in one sentence; what pip printed is then in install.log inside the environment.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARKER = ".tfmeta-env"  # in an environment of ours, from its first moment: nothing else is ever removed
STAMP = ".complete"  # what the finished environment was made from
LOG = "install.log"  # of a failed installation
GIB = 1 << 30
NEED, NEED_CUDA = 3 * GIB, 9 * GIB  # peak use of the disk, measured: wheels and what is unpacked from them
BUILD_TOOLS = ("setuptools", "wheel")  # of the lock: they build jax, which has no wheel, and tfmeta
# Which index to ask, and how, is left to the user's configuration of pip; what to install where is not.
NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIREMENT")
SET = {"PIP_USER": "0", "PIP_REQUIRE_HASHES": "0"}  # the lock's hashes are checked all the same


class SetupError(Exception):
    """The environment cannot be set up; the message is one sentence for the user, without its full stop."""


# What was printed -> the sentence for the user; the first that matches wins. explain() fills in {…}.
CAUSES = (
    (
        r"No space left on device|Disk quota exceeded|Errno 28\]|Errno 122\]",
        "the disk filled up while {folder} was being set up (about {need:.1f} GiB are needed in all): make "
        "room there, or put the environment elsewhere with VENV=/path, and run make again",
    ),
    (
        r"DO NOT MATCH THE HASHES|not a zip file|BadZipFile|Bad CRC-32|invalid wheel|Wheel .* is invalid",
        "a download is damaged or was replaced{package}: what came is not the file that the lock names, so "
        "run make again, and if it stays so, empty pip's cache (`pip cache purge`) or ask who runs the index",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSLCertVerificationError",
        "the package index cannot be trusted, since its TLS certificate does not verify: set the machine's "
        "clock and certificates right, or name your network's certificate with PIP_CERT",
    ),
    (
        r"Failed to establish a new connection|Temporary failure in name resolution|Network is unreachable"
        r"|Connection refused|ConnectionResetError|RemoteDisconnected|ProxyError|ConnectTimeout|ReadTimeout"
        r"|[Tt]imed out|IncompleteRead|ProtocolError|HTTP error \d+|\d+ (Client|Server) Error"
        r"|too many \d+ error",
        "no network: pip could not reach its package index, or lost it on the way, so check the connection, "
        "the proxy and pip's own settings (`pip config list`), then run make again",
    ),
    (
        r"No matching distribution found",
        "a package is not to be had{package}: the index that pip is set to use does not answer or has no such "
        "file for Python 3.11 on Linux x86_64, so check pip's own settings (`pip config list`)",
    ),
    (
        r"Permission denied|Read-only file system|Operation not permitted",
        "{folder} cannot be written: work in a checkout of your own, or put the environment elsewhere with VENV=/path",
    ),
)


def explain(output: str, folder: Path, need: int) -> str:
    """Return the one sentence for ``output``, what pip or the system said as it failed; ``need`` in bytes."""
    named = re.search(r"(?:^|No matching distribution found for) +(\w[\w.-]*==[\w.]+)", output, re.MULTILINE)
    for pattern, sentence in CAUSES:
        if re.search(pattern, output):
            return sentence.format(folder=folder, need=need / GIB, package=f" ({named[1]})" if named else "")
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["it printed nothing"]
    errors = [line for line in lines if line.lower().startswith("error")]
    return f"setting up {folder} failed: {(errors or lines)[-1].rstrip('.')}"


def check_machine() -> None:
    """Raise SetupError where TFF's wheels cannot run; python.sh has seen to Linux, x86-64 and Python 3.11."""
    if sys.version_info[:2] != (3, 11) or sys.implementation.name != "cpython" or sys.maxsize < 2**32:
        raise SetupError(
            f"{sys.executable} is {platform.python_implementation()} {platform.python_version()} "
            f"({'64' if sys.maxsize > 2**32 else '32'} bits), but a 64-bit CPython 3.11 is needed: "
            "name one with PYTHON=/path/to/python3.11"
        )
    name, release = platform.libc_ver()
    if name != "glibc" or tuple(map(int, release.split(".")[:2])) < (2, 31):
        raise SetupError(
            f"the C library here is {f'glibc {release}' if name == 'glibc' else 'not glibc'}, but TensorFlow "
            "Federated 0.87 needs glibc 2.31 or newer: use Debian 11, Ubuntu 20.04 or anything younger"
        )


def check_space(folder: Path, need: int) -> None:
    """Raise SetupError unless ``need`` bytes are free on the disk of ``folder``, which exists."""
    free = shutil.disk_usage(folder).free
    if free < need:
        raise SetupError(
            f"not enough disk space: {free / GIB:.1f} GiB are free in {folder} and about {need / GIB:.1f} "
            "are needed, so make room there, or put the environment elsewhere with VENV=/path"
        )


def say(message: str) -> None:
    """Tell the user something, on standard error."""
    print(f"tfmeta: {message}", file=sys.stderr, flush=True)


class Progress:
    """One line on a terminal that says how far pip is; nothing elsewhere."""

    def __init__(self, total: int):
        self.total, self.collected, self.shown = total, set(), sys.stderr.isatty()

    def line(self, line: str) -> None:
        """Take notice of one line of pip's output."""
        if match := re.match(r"(?:Collecting|Processing) (?:\S*/)?(\S+)", line):  # Processing: a local file
            self.collected.add(match[1])
            self.show(f"{len(self.collected)}/{self.total} {match[1]}")
        elif match := re.match(r"\s+Downloading (\S+?)-\S+ (\(.*\))", line):
            self.show(f"{len(self.collected)}/{self.total} downloading {match[1]} {match[2]}")
        elif line.startswith("Installing collected packages"):
            self.show("unpacking, which takes longest")

    def show(self, text: str) -> None:
        """Replace what the line says."""
        if self.shown:
            width = shutil.get_terminal_size().columns - 3
            print(f"\r\x1b[K  {text[:width]}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave an empty line to what is printed next."""
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def digest(*paths: Path) -> str:
    """Return a sha256 over the contents of those of ``paths`` that exist."""
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths if path.is_file())).hexdigest()


class Environment:
    """A virtual environment of ours in ``folder``: what ``lock`` lists and the package of this checkout."""

    def __init__(self, folder: Path, lock: Path, held: int):
        self.folder, self.lock = folder, lock
        self.held = held  # descriptor of the held lock file; pip inherits it: held as long as pip runs
        self.python = folder / "bin" / "python"
        self.pip: list[str] = []  # the command, once found
        self.text = lock.read_text(encoding="utf-8")
        self.need = NEED_CUDA if re.search(r"^nvidia-", self.text, re.MULTILINE) else NEED
        self.progress = Progress(total=len(re.findall(r"^[\w.-]+==", self.text, re.MULTILINE)))
        self.transcript: list[str] = []
        # The place counts too: a copied environment runs the code of the checkout that it was copied from.
        self.wanted = {
            "folder": str(folder),
            "lock": digest(lock),
            "package": digest(ROOT / "setup.py", ROOT / "tfmeta" / "__init__.py"),
        }

    def update(self) -> None:
        """Bring the environment to what the lock and setup.py say now; at once if it is there already."""
        found = self.stamp()
        if found == self.wanted:
            return
        without_package = self.wanted | {"package": ""}
        if found | {"package": ""} != without_package:
            self.build()
        self.write_stamp(without_package)
        self.install("--no-build-isolation", "--use-pep517", "--editable", ".")
        shutil.rmtree(self.folder / "tmp")
        self.write_stamp(self.wanted)
        self.progress.close()
        say(f"{self.folder} is ready")

    def stamp(self) -> dict:
        """Return what the environment was made from, {} if the lock is not all there."""
        try:
            found = json.loads((self.folder / STAMP).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if os.access(self.python, os.X_OK) else {}

    def write_stamp(self, made_from: dict) -> None:
        """Say what the environment was made from, in one stroke."""
        new = self.folder / f"{STAMP}.new"
        new.write_text(json.dumps(made_from), encoding="utf-8")
        new.replace(self.folder / STAMP)

    def build(self) -> None:
        """Make the environment from nothing and install the whole lock."""
        if self.folder.exists() and not (self.folder / MARKER).exists() and any(self.folder.iterdir()):
            raise SetupError(
                f"{self.folder} was not made by make, which would replace it: move it away, or put the "
                "environment elsewhere with VENV=/path"
            )
        self.empty()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / MARKER).touch()
        (self.folder / ".gitignore").write_text("*\n", encoding="utf-8")
        check_space(self.folder, self.need)
        say(f"setting up {self.folder} ({self.progress.total} packages, some minutes)")
        self.create()
        # First what builds the rest: without build isolation, pip fetches only the lock's own, hashed files.
        entries = re.findall(rf"^(?:{'|'.join(BUILD_TOOLS)})==(?:.*\\\n)*.*\n", self.text, re.MULTILINE)
        first = self.folder / "tmp" / "build-tools.txt"
        first.write_text("".join(entries), encoding="utf-8")
        self.install("--only-binary", ":all:", "--requirement", str(first))
        wheels_only = ("--only-binary", ":all:", "--no-binary", "jax", "--no-build-isolation")
        self.install(*wheels_only, "--requirement", str(self.lock))

    def create(self) -> None:
        """Make the environment with nothing but pip in it, if Python can bring one (Debian's may not)."""
        commands = (
            (sys.executable, "-I", "-m", "venv", "--symlinks", "--without-pip", str(self.folder)),
            (str(self.python), "-I", "-m", "ensurepip"),
        )
        for command in commands:
            code, output = self.run(*command)
            if code != 0 and "No module named ensurepip" not in output:
                raise SetupError(explain(output, self.folder, self.need))

    def find_pip(self) -> list[str]:
        """Return the command of the environment's pip, or of the base Python's if there is none."""
        own = [str(self.python), "-I", "-m", "pip"]
        for command in (own, [sys.executable, "-m", "pip", "--python", str(self.python)]):
            if self.run(*command, "--version")[0] == 0:
                return command
        raise SetupError(
            f"{sys.executable} has neither ensurepip nor pip 22.3 or newer to install anything with: get it whole "
            "(Debian, Ubuntu: apt install python3.11-venv), or name another Python 3.11 with PYTHON=/path"
        )

    def install(self, *arguments: str) -> None:
        """Run ``pip install``; raise SetupError with the cause if it fails."""
        options = ("--no-deps", "--no-input", "--disable-pip-version-check")
        self.pip = self.pip or self.find_pip()
        code, output = self.run(*self.pip, "install", *options, *arguments)
        if code != 0:
            raise SetupError(explain(output, self.folder, self.need))

    def run(self, *command: str) -> tuple[int, str]:
        """Run ``command`` in silence; return its exit code and its output, also kept for the log."""
        before = len(self.transcript)
        temporary = self.folder / "tmp"  # beside what is installed: one disk to check, nothing left elsewhere
        temporary.mkdir(exist_ok=True)
        variables = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            cwd=ROOT,
            env=variables | SET | {"TMPDIR": str(temporary)},
            pass_fds=(self.held,),
        ) as process:
            try:
                for line in process.stdout:
                    self.transcript.append(line)
                    self.progress.line(line)
            except BaseException:  # Ctrl-C or SIGTERM: do not leave pip at work
                process.terminate()
                raise
        return process.returncode, "".join(self.transcript[before:])

    def empty(self) -> None:
        """Remove what is in the folder, if it is ours, but the marker that says so."""
        if not (self.folder / MARKER).exists():
            return
        (self.folder / STAMP).unlink(missing_ok=True)  # first, so that no part ever passes for the whole
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != MARKER:
                entry.unlink()

    def fail(self, sentence: str) -> None:
        """Say ``sentence``, give back the space of an unfinished lock, and leave what pip printed in the log."""
        self.progress.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # this takes a moment, and is not to be left half done
        if self.transcript:
            with contextlib.suppress(OSError):  # such as a disk that others have filled up
                if not self.stamp():
                    self.empty()
                (self.folder / LOG).write_text("".join(self.transcript), encoding="utf-8")
                sentence += f" (all that pip printed: {self.folder / LOG})"
        say(f"{sentence}.")


def wait_for_turn(lock: int) -> None:
    """Hold the lock file with descriptor ``lock`` against another installation, until this process ends."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another make is installing here: waiting for it")
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:
        pass  # a file system without such locks: two at once are the user's to avoid


def terminated(*_) -> None:
    """Handle SIGTERM as Ctrl-C."""
    raise KeyboardInterrupt


def main() -> int:
    """Set up the environment named on the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", type=Path, help="folder of the environment, e.g. .venv")
    parser.add_argument("lock", type=Path, help="what to install, e.g. requirements.txt")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, terminated)
    with arguments.lock.open(encoding="utf-8") as lock:
        environment = Environment(arguments.environment.absolute(), arguments.lock.absolute(), lock.fileno())
        try:
            check_machine()
            wait_for_turn(lock.fileno())
            environment.update()
        except SetupError as error:
            environment.fail(str(error))
            return 1
        except OSError as error:
            environment.fail(explain(str(error), environment.folder, environment.need))
            return 1
        except KeyboardInterrupt:
            environment.fail("interrupted: the next make sets the environment up from its start")
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
