"""Where a result comes from: code, versions, data, time."""

import dataclasses
import datetime
import functools
import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

import tfmeta

# distributions that may provide a package; tensorflow-cpu stands in for tensorflow
_DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "keras": ("keras",),
    "tensorflow_federated": ("tensorflow-federated",),
}


@dataclasses.dataclass(frozen=True)
class Start:
    """The beginning of a computation."""

    commit: str
    moment: datetime.datetime
    clock: float


def start():
    """Return what ``collect`` takes at the end.

    The commit is the one at the process' first start: its code computes, whatever is committed beside a long run.
    """
    return Start(_commit_of_this_process(), datetime.datetime.now(datetime.UTC), time.monotonic())


def collect(data_digest, begun):
    """Return the ``provenance`` object of a result, JSON-ready.

    ``data_digest`` is the bank's, ``begun`` what ``start`` returned. Nothing heavy is imported: versions come from
    the installed packages' metadata.
    """
    return {
        "commit": begun.commit,
        "versions": versions(),
        "data_digest": data_digest,
        "started": begun.moment.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - begun.clock, 3),
    }


def versions():
    """Return package -> version of what computes: tfmeta, python, numpy, tensorflow, keras, TFF."""
    found = {"tfmeta": tfmeta.__version__, "python": platform.python_version()}
    return found | {name: _version(distributions) for name, distributions in _DISTRIBUTIONS.items()}


def commit(folder=None):
    """Return the git commit (40 hex digits) of the checkout that holds tfmeta's source, not the current
    folder's.

    "-dirty" is appended where files differ from the commit or are unknown to git (ignored ones aside);
    "unknown" where tfmeta is not run from a checkout of its own, or git is not there. ``folder`` is for
    tests.
    """
    folder = Path(folder or tfmeta.__file__).resolve()
    folder = folder.parent if folder.is_file() else folder
    # Installed below someone else's checkout (a .venv in a project), that project's commit would say nothing.
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return "unknown"
    head, changes = _git(folder, "rev-parse", "--verify", "HEAD"), _git(folder, "status", "--porcelain")
    if not head:
        return "unknown"
    return head + ("-dirty" if changes != "" else "")


@functools.cache
def _commit_of_this_process():
    return commit()


def _git(folder, *arguments):
    """Return git's answer, or None where it fails. A hook's GIT_DIR would point it at another repository."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["GIT_OPTIONAL_LOCKS"] = "0"  # never in the way of the user's own git
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _version(distributions):
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "not installed"
