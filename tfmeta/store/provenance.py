"""Where a result comes from: code, versions, data, time."""

import dataclasses
import datetime
import functools
import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tfmeta

_DISTRIBUTIONS = {  # package -> distributions that may provide it
    "numpy": ("numpy",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "keras": ("keras",),
    "tensorflow_federated": ("tensorflow-federated",),
}


@dataclasses.dataclass(frozen=True)
class Start:
    """The start of a computation: the code's commit, the time, and a clock's reading in seconds."""

    commit: str
    moment: datetime.datetime
    clock: float


def start() -> Start:
    """Return what `collect` takes at the end.

    The commit is the one at the process' first start: that code computes, whatever is committed during a long run.
    """
    return Start(this_commit(), datetime.datetime.now(datetime.UTC), time.monotonic())


def collect(data_digest: str, begun: Start, kept: Sequence[str] = (), unrecorded: Sequence[str] = ()) -> dict[str, Any]:
    """Return the `provenance` object of a result, JSON-ready.

    Args:
        data_digest: The digest of the images.
        begun: What `start` returned.
        kept: What stored files of other code were accepted, a sentence each.
        unrecorded: What stored files were used whose code is not recorded, a sentence each.
    """
    return {
        "commit": begun.commit,
        "versions": versions(),
        "data_digest": data_digest,
        "started": begun.moment.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - begun.clock, 3),
        **({"kept": list(kept)} if kept else {}),
        **({"unrecorded": list(unrecorded)} if unrecorded else {}),
    }


def versions() -> dict[str, str]:
    """Return the versions of what computes by package, from the packages' metadata; nothing heavy is imported."""
    found = {"tfmeta": tfmeta.__version__, "python": platform.python_version()}
    return found | {name: _version(distributions) for name, distributions in _DISTRIBUTIONS.items()}


def commit(folder: Path | str | None = None) -> str:
    """Return the git commit (40 hexadecimal digits) of the checkout that holds tfmeta's source.

    "-dirty" is appended if files differ from the commit or are unknown to git (ignored ones do not count). It is
    "unknown" if tfmeta does not run from a checkout of its own, or git is missing. `folder` is for tests.
    """
    folder = Path(folder or Path(tfmeta.__file__).parent).resolve()
    # If tfmeta is installed inside another project's checkout (in its .venv), that project's commit would say nothing.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return "unknown"
    head, changes = _git(folder, "rev-parse", "--verify", "HEAD"), _git(folder, "status", "--porcelain")
    return "unknown" if not head else head + ("-dirty" if changes != "" else "")


@functools.cache
def this_commit() -> str:
    """Return `commit()` as it was when this process first asked."""
    return commit()


def _git(folder: Path, *arguments: str) -> str | None:
    """Return git's answer, or None if it fails. A hook's GIT_DIR would send git to another repository."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"  # never blocks the user's own git
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _version(distributions: tuple[str, ...]) -> str:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "not installed"
