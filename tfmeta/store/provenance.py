"""Where a result comes from: code, versions, data, time."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import tfmeta

# distributions that may provide a package; tensorflow-cpu stands in for tensorflow
_DISTRIBUTIONS = {
    "numpy": ("numpy",),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "keras": ("keras",),
    "tensorflow_federated": ("tensorflow-federated",),
}


def collect(data_digest, started, seconds):
    """Return the ``provenance`` object of a result, JSON-ready.

    ``data_digest`` is the bank's, ``started`` seconds since the epoch (``time.time()``), ``seconds`` the
    run's length. Nothing heavy is imported: versions come from the installed packages' metadata.
    """
    begun = datetime.datetime.fromtimestamp(started, datetime.UTC)
    return {
        "commit": commit(),
        "versions": versions(),
        "data_digest": data_digest,
        "started": begun.isoformat(timespec="seconds"),
        "seconds": round(float(seconds), 3),
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
