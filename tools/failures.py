"""Why an environment cannot be set up, in one sentence for the user."""

import platform
import re
import shutil
from pathlib import Path

GIB = 1 << 30
# What pip, uv or the system printed, and what to do about it; the first match counts.
ADVICE = (
    ("No space left|Disk quota", "make room, or use another disk with VENV=/path and UV_CACHE_DIR=/path"),
    ("CERTIFICATE_VERIFY|peer certificate", "name your network's certificate with PIP_CERT=/path/to/file.pem"),
    ("MATCH THE HASHES|ash mismatch|BadZip|xtract", "empty the caches (`pip cache purge`, ~/.cache/uv) and try again"),
    ("Failed to fetch|onnection|resolution|imed out|HTTP", "check the network and `pip config list`, then try again"),
    ("No matching distribution|No solution", "check that the package index of `pip config list` has this file"),
    ("Permission|Read-only|not permitted", "make that writable, or use VENV=/path and UV_CACHE_DIR=/path"),
)


class SetupError(Exception):
    """The environment cannot be set up; the message is one sentence for the user, without its full stop."""


def explain(output: str) -> str:
    """Return the error in `output` of pip, uv or the system, and what to do about it."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["it printed nothing"]
    errors = [line for line in lines if re.match("error|cause", line, re.IGNORECASE)] or lines[-1:]
    reported = "; ".join(dict.fromkeys([errors[0], errors[-1]])).rstrip(".")
    return next((f"{reported}: {advice}" for cause, advice in ADVICE if re.search(cause, output)), reported)


def check_machine(folder: Path, need: int) -> None:
    """Raise `SetupError` where TFF does not run or `need` bytes are not free; python.sh has checked the rest."""
    library, release = platform.libc_ver()
    if library != "glibc" or tuple(map(int, release.split(".")[:2])) < (2, 31):
        raise SetupError(f"TFF 0.87 needs glibc 2.31, not {library} {release}: use Debian 11, Ubuntu 20.04 or newer")
    free = shutil.disk_usage(folder).free
    if free < need:
        lack = f"not enough disk space in {folder}: {need / GIB:.1f} GiB are needed and {free / GIB:.1f} are free"
        raise SetupError(f"{lack}, so make room or use another disk with VENV=/path")
