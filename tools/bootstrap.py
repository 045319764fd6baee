"""Set up an environment: pip installs uv (tools/uv.txt), then uv installs a lock and this checkout's package.

`make env` runs this through python.sh, when only the standard library is there. The stamp is written last, and an
environment without one is built anew, so a half-installed one is never used. Every failure ends in one sentence.
"""

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import signal
import sys
from pathlib import Path

from failures import GIB, SetupError, check_machine, explain
from installer import Installer

ROOT = Path(__file__).resolve().parent.parent
MARKER = ".tfmeta-env"  # which checkout made the folder, and where; a folder without it is never emptied
STAMP = ".complete"  # what the finished environment was made from
LOG = "install.log"  # all that pip and uv printed
NEED = {"requirements-gpu.txt": 7 * GIB, "requirements-docs.txt": GIB // 2}  # peak use of the disk, caches included


def say(sentence: str) -> None:
    """Tell the user something on standard error."""
    print(f"tfmeta: {sentence}.", file=sys.stderr, flush=True)


def wait_for_turn(held: int) -> None:
    """Lock the open file `held` until this process, and any pip or uv that it started, has ended."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another make is installing here: waiting for it")
        fcntl.flock(held, fcntl.LOCK_EX)
    except OSError:
        pass  # a file system without such locks


class Environment:
    """The environment in `folder`, with what `lock` lists and, if wanted, the package of this checkout."""

    def __init__(self, folder: Path, lock: Path, package: bool, held: int):
        self.folder, self.lock, self.package = folder, lock, package
        self.installer = Installer(folder, folder / LOG, held)
        self.owner = [str(ROOT), str(folder)]
        metadata = [ROOT / "setup.py", ROOT / "tfmeta" / "__init__.py"] if package else []
        sources = ([lock, ROOT / "tools" / "uv.txt"], metadata)
        self.wanted = [hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest() for paths in sources]

    def read(self, name: str) -> list[str]:
        """Return the lines of the file `name` of the environment; none if there is no such file."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def update(self) -> None:
        """Bring the environment to what the lock and setup.py say now; at once if it is there already."""
        made_by = self.read(MARKER)
        if made_by[1:] == self.owner[1:] and made_by != self.owner and Path(made_by[0]).is_dir():
            raise SetupError(f"{self.folder} runs the code of {made_by[0]}: use another folder with VENV=/path")
        usable = made_by == self.owner and os.access(self.folder / "bin" / "python", os.X_OK)
        stamp = self.read(STAMP) if usable else []
        if stamp == self.wanted:
            return
        if self.folder.exists() and any(self.folder.iterdir()) and not (self.folder / MARKER).exists():
            raise SetupError(f"{self.folder} was not made by make: move it away, or use another folder with VENV=/path")
        try:
            if not stamp:
                self.create()
            if stamp[:1] != self.wanted[:1]:
                self.install_lock()
            if self.package:
                options = ("--offline", "--no-deps", "--no-build-isolation", "--reinstall")
                self.installer.uv("install", *options, "--editable", ".")
            (self.folder / STAMP).write_text("\n".join(self.wanted))
        except BaseException:
            self.give_up()
            raise
        say(f"{self.folder} is ready")

    def create(self) -> None:
        """Make the folder and in it an environment with nothing but pip."""
        self.empty()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / MARKER).write_text("\n".join(self.owner))
        (self.folder / ".gitignore").write_text("*\n")
        check_machine(self.folder, NEED.get(self.lock.name, 3 * GIB))
        say(f"setting up {self.folder}, which takes a minute or more")
        self.installer.venv(self.folder)

    def install_lock(self) -> None:
        """Install uv, and with it the whole lock and nothing else."""
        (self.folder / STAMP).unlink(missing_ok=True)
        # jax has no wheel. It is built without isolation, so that what builds it is the lock's own, hashed files.
        entries = re.findall(r"^(?:setuptools|wheel)==(?:.*\\\n)*.*\n", self.lock.read_text(), re.MULTILINE)
        (self.folder / "builders.txt").write_text("".join(entries))
        self.installer.pip_install(ROOT / "tools" / "uv.txt", self.folder / "builders.txt")
        wheels = ("--only-binary=:all:", "--no-binary=jax", "--no-build-isolation")
        self.installer.uv("sync", "--require-hashes", "--compile-bytecode", *wheels, str(self.lock))
        (self.folder / STAMP).write_text(self.wanted[0])

    def give_up(self) -> None:
        """Give back the space of an unfinished environment; keep its log."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # this takes a moment, and must not stay half done
        if (self.folder / MARKER).exists() and not self.read(STAMP):
            log = "\n".join([*self.read(LOG), ""])
            self.empty()
            (self.folder / LOG).write_text(log)

    def empty(self) -> None:
        """Remove what is in the folder, if it is ours, but for the marker that says so."""
        if not (self.folder / MARKER).exists():
            return
        (self.folder / STAMP).unlink(missing_ok=True)  # first, so that a part never passes for the whole
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != MARKER:
                entry.unlink()


def main() -> int:
    """Set up the environment named on the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", type=Path, help="folder of the environment, e.g. .venv")
    parser.add_argument("lock", type=Path, help="what to install, e.g. requirements.txt")
    parser.add_argument("--without-package", action="store_true", help="install the lock only")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # handled like Ctrl-C
    try:
        with given.lock.open() as lock:
            wait_for_turn(lock.fileno())
            folder, package = given.environment.absolute(), not given.without_package
            Environment(folder, given.lock.absolute(), package, lock.fileno()).update()
    except (SetupError, OSError) as error:
        say(str(error) if isinstance(error, SetupError) else explain(str(error)))
        return 1
    except KeyboardInterrupt:
        say("interrupted: the next make sets the environment up again")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
