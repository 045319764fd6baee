"""When a stored file was last used: its access time, which tfmeta sets itself.

File systems set it seldom, or never (`noatime`). The time of the last change of content stays as it is.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import BinaryIO

# Seconds: a file that was used within them is not noted again. A note changes the time of the last change of the file's
# status, and what is verified by its time stamps is then read again.
_OFTEN = 3600


def note(path: Path | str) -> None:
    """Record, at most once an hour, that a file is used now; where that is not allowed, nothing happens."""
    with contextlib.suppress(OSError), open_unnoted(path) as file:
        status = os.fstat(file.fileno())
        if not 0 <= time.time() - status.st_atime < _OFTEN:
            # of the open file: another may take its name at any moment, and must not get this one's time of change
            os.utime(file.fileno(), ns=(time.time_ns(), status.st_mtime_ns))


def of(status: os.stat_result) -> float:
    """Return when a file was last used or changed, in seconds since 1970."""
    return max(status.st_atime, status.st_mtime)


def open_unnoted(path: Path | str) -> BinaryIO:
    """Open a file to look at it, which is no use of it; raises `OSError`."""

    def opener(name, flags):
        try:
            return os.open(name, flags | os.O_NOATIME | os.O_NOFOLLOW)
        except PermissionError:  # another user's file
            return os.open(name, flags | os.O_NOFOLLOW)

    return open(path, "rb", opener=opener)
