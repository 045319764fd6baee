"""One run at a time in a folder."""

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

from tfmeta.errors import BusyError, StorageError
from tfmeta.store import atomic
from tfmeta.utils import files

_LOCK, _HOLDER = ".lock", ".lock.holder"


@contextlib.contextmanager
def hold(folder: Path | str) -> Iterator[Path]:
    """Hold `folder` for one run, and remove what killed runs left half-written below it; yield its path.

    The folder is made if it is missing. The lock is the kernel's (flock): it ends with its process.

    Raises:
        BusyError: another run holds the folder; raised without waiting. The message names that run's process.
        StorageError: the folder cannot be made or locked.
    """
    folder = Path(folder)
    lock = filelock.FileLock(folder / _LOCK, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise BusyError(
            f"{folder} is in use by another run{_holder(folder)}. Wait for it or stop it, or choose another folder"
        ) from None
    except OSError as error:
        raise StorageError(f"{folder} cannot be used for a run ({error.strerror}); choose another folder") from error
    try:
        # Beside the lock and not in it: reading it must never touch the lock's own file.
        atomic.write_json(folder / _HOLDER, {"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
        atomic.sweep(folder)
        yield folder
    finally:
        with contextlib.suppress(OSError):
            (folder / _HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(folder: Path) -> str:
    """Say who holds the lock; nothing if that run took it just now and has not written its name yet."""
    try:
        holder = json.loads(files.read(folder / _HOLDER, 1 << 16))
        return f" (process {holder['pid']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
