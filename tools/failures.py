"""Why an environment cannot be set up, in one sentence for the user."""

import platform
import re
import shutil
from pathlib import Path

GIB = 1 << 30
# What pip, uv or the system may print, and what to tell the user; the first match counts.
CAUSES = (
    (
        "No space left|Disk quota",
        "the disk is full: make room, or use another one with VENV=/path and UV_CACHE_DIR=/path",
    ),
    (
        "CERTIFICATE_VERIFY|peer certificate",
        "the package index's TLS certificate does not verify: name your network's own with PIP_CERT=/path/to/file.pem",
    ),
    (
        "MATCH THE HASHES|[Hh]ash mismatch|BadZipFile|extract",
        "a download is damaged or was replaced: empty the caches (`pip cache purge`, ~/.cache/uv) and try again",
    ),
    (
        "Failed to fetch|error sending|[Cc]onnection|resolution|[Tt]imed out|HTTP",
        "the package index cannot be reached: check the network and pip's settings (`pip config list`), and try again",
    ),
    (
        "No matching distribution|No solution",
        "a package is missing: check that pip is set to use a complete package index (`pip config list`)",
    ),
    (
        "Permission|Read-only|not permitted",
        "a folder cannot be written: use others with VENV=/path and UV_CACHE_DIR=/path",
    ),
)


class SetupError(Exception):
    """The environment cannot be set up; the message is one sentence for the user, without its full stop."""


def explain(output: str) -> str:
    """Return what went wrong and what to do about it, in one sentence, from the `output` of pip, uv or the system."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["it printed nothing"]
    errors = [line for line in lines if re.match("error|cause", line, re.IGNORECASE)] or lines[-1:]
    quoted = "; ".join(dict.fromkeys(line.partition(". ")[0].rstrip(".") for line in (errors[0], errors[-1])))
    package = re.search(r"^ +([\w.-]+==\S+) from ", output, re.MULTILINE)  # pip names it below the error
    quoted += f" for {package[1]}" if package else ""
    cause = next((sentence for pattern, sentence in CAUSES if re.search(pattern, output)), "the installation failed")
    return f"{cause} ({quoted})"


def check_machine(folder: Path, need: int) -> None:
    """Raise `SetupError` where TFF does not run or `need` bytes are not free; python.sh has checked the rest."""
    library, release = platform.libc_ver()
    if library != "glibc" or tuple(map(int, release.split(".")[:2])) < (2, 31):
        raise SetupError(f"TFF 0.87 needs glibc 2.31, not {library} {release}: use Debian 11, Ubuntu 20.04 or newer")
    free = shutil.disk_usage(folder).free
    if free < need:
        lack = f"not enough disk space in {folder}: {need / GIB:.1f} GiB are needed and {free / GIB:.1f} are free"
        raise SetupError(f"{lack}, so make room or use another disk with VENV=/path")
