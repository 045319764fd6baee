"""The command, run in folders of its own, and whether what it stored is what an undisturbed run stores."""

import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tfmeta

ROOT = Path(tfmeta.__file__).parents[1]
PATIENCE = 240.0  # seconds for one command: ten times what it takes on an idle machine
GONE = 10.0  # seconds within which every process of a command must be gone
MARK = "TFMETA_FAULTS_RUN"  # in the environment of a command and of all its processes
FOLDERS = ("results", "cache", "out")


@dataclasses.dataclass(frozen=True)
class Ended:
    """A command that ended: its exit code as a shell reports it, and what it printed."""

    code: int
    output: str


class Running:
    """A command that runs, and all processes that it started."""

    def __init__(self, words: Sequence[str], environment: dict[str, str], log: Path):
        self.token, self._log = secrets.token_hex(8), log
        environment = environment | {MARK: self.token}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                words, cwd=log.parent, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.begun = time.monotonic()

    def processes(self) -> dict[int, str]:
        """Return the live processes of this command, whoever is their parent now, and their programs."""
        found, mark = {}, f"{MARK}={self.token}".encode()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):  # gone meanwhile; a zombie has no environment
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found[int(entry.name)] = (entry / "exe").readlink().name
        return found

    def worker(self) -> int | None:
        """Return the process id of TFF's worker, if it runs."""
        return next((pid for pid, program in self.processes().items() if program == "worker_binary"), None)

    def wait_until(self, moment: float) -> bool:
        """Wait until `moment` seconds after the start; return whether the command still runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, self.begun + moment - time.monotonic()))
        return self.process.poll() is None

    def ended(self, patience: float = PATIENCE) -> Ended:
        """Wait for the end; no process may be left, and no traceback printed.

        Raises:
            AssertionError: it hangs, leaves a process, or prints a traceback.
        """
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {patience:.0f} s: {self.said()}") from None
        finally:
            left = self._left()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        assert not left, f"left the processes {left}: {self.said()}"
        assert "Traceback" not in self.said(), self.said()
        return Ended(code if code >= 0 else 128 - code, self.said())

    def said(self) -> str:
        """Return what the command printed so far."""
        return self._log.read_text(errors="replace")

    def _left(self):
        deadline = time.monotonic() + (GONE if self.process.poll() is not None else 0)
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left


@dataclasses.dataclass(frozen=True)
class Place:
    """Folders for results, cache, figures and temporary files, and the command that uses them."""

    folder: Path
    runtime: str = "tff"

    def __post_init__(self):
        for name in (*FOLDERS, "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def copy(self, folder: Path, only: Sequence[str] = FOLDERS) -> "Place":
        """Return a copy of this place with some of its folders' content."""
        for name in only:
            shutil.copytree(self.folder / name, folder / name, symlinks=True)
        return Place(folder, self.runtime)

    def words(self, *more: str) -> list[str]:
        """Return the command's words."""
        given = ["figure", "fig5", "--dataset", "glyphs", "--profile", "smoke", "--results", self.folder / "results"]
        given += ["--out", self.folder / "out", "--set", f"runtime={self.runtime}", *more]
        return [sys.executable, "-m", "tfmeta", *map(str, given)]

    def start(self, *more: str) -> Running:
        """Start the command."""
        return Running(self.words(*more), self.environment(), self.folder / "output.log")

    def environment(self) -> dict[str, str]:
        """Return the command's environment."""
        own = {"TFMETA_CACHE": self.folder / "cache", "TMPDIR": self.folder / "tmp", "PYTHONPATH": ROOT}
        return os.environ | {name: str(value) for name, value in own.items()}

    def run(self, *more: str) -> Ended:
        """Run the command to its end, which must be clean (`Running.ended`)."""
        return self.start(*more).ended()

    def files(self) -> dict[str, Path]:
        """Return all that is stored, by path relative to the place: files, links, and empty folders."""
        found = {}
        for name in (*FOLDERS, "tmp"):
            for path in (self.folder / name).rglob("*"):
                if path.is_symlink() or not path.is_dir() or not any(path.iterdir()):
                    found[str(path.relative_to(self.folder))] = path
        return found


def differences(place: Place, reference: Place, but: Sequence[str] = ()) -> Iterator[str]:
    """Yield how the files of a place differ from those of an undisturbed run, leaving some out.

    Content is compared byte by byte, documents without their times, and the worker's log not at all.
    """
    ours, theirs = place.files(), reference.files()
    for name in sorted((ours.keys() | theirs.keys()) - set(but)):
        if name not in ours:
            yield f"{name} is missing"
        elif name not in theirs:
            yield f"{name} was left behind"
        elif not name.startswith("results/logs/") and _content(ours[name]) != _content(theirs[name]):
            yield f"{name} differs"


def assert_same(place: Place, reference: Place, ended: Ended, but: Sequence[str] = ()) -> None:
    """Check that a command succeeded, and stored what an undisturbed run stores, and nothing else."""
    assert ended.code == 0, ended.output
    found = list(differences(place, reference, but))
    assert not found, "\n".join([*found, ended.output])


def at_once(do: Callable, cases: Sequence) -> None:
    """Call `do` for each case, two at a time, and raise all that failed together."""

    def attempt(case):
        try:
            do(case)
        except Exception as error:
            return f"{case}: {type(error).__name__}: {error}"

    with ThreadPoolExecutor(2) as pool:
        failed = [failure for failure in pool.map(attempt, cases) if failure]
    assert not failed, f"{len(failed)} of {len(cases)} failed\n" + "\n\n".join(failed)


def _content(path):
    if not path.is_file():
        return None
    if path.suffix != ".json" or "results" not in path.parts:
        return path.read_bytes()
    document = json.loads(path.read_text())
    document.pop("sha256", None)  # of the document, with its times
    for name in ("started", "seconds"):
        del document["provenance"][name]
    return document
