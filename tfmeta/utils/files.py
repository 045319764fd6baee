"""Read a file that a stranger may have made: never without end, and never more than was asked for."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_BLOCK = 1 << 20


def opened(path: Path | str) -> BinaryIO:
    """Open a file for reading, without a buffer.

    Raises:
        OSError: it cannot be opened, or is a folder, a pipe or a device, which could be waited for or read endlessly.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # O_NONBLOCK: a pipe opens at once
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb", buffering=0)
    os.close(descriptor)
    number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise OSError(number, "is a folder" if stat.S_ISDIR(mode) else "is not a regular file", str(path))


def read(path: Path | str, largest: int) -> bytes:
    """Return the bytes of a file, which may have at most `largest`.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger.
    """
    with opened(path) as file:
        done = os.fstat(file.fileno()).st_size
        parts = [file.read(done + 1)] if done <= largest else []
        while parts and parts[-1] and (done := sum(map(len, parts))) <= largest:  # its size was false, or it grew
            parts.append(file.read(min(_BLOCK, largest + 1 - done)))
    if done > largest:
        raise OSError(errno.EFBIG, f"has {done} bytes, and more than {largest} are not read", str(path))
    return b"".join(parts)
