"""One run at a time in a folder."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

from tfmeta.errors import BusyError, StorageError
from tfmeta.store import atomic, last_use
from tfmeta.utils import files

LOCK, HOLDER = ".lock", ".lock.holder"  # files in a folder that is held


@contextlib.contextmanager
def hold(folder: Path | str) -> Iterator[Path]:
    """Hold `folder` for one run, and remove what killed runs left half-written below it; yield its path.

    The folder is made if it is missing. The lock is the kernel's (flock): it ends with its process.

    Raises:
        BusyError: another run holds the folder; raised without waiting. The message names that run's process.
        StorageError: the folder cannot be made or locked.
    """
    folder = Path(folder)
    lock = filelock.FileLock(folder / LOCK, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise BusyError(
            f"{folder} is in use by another run{holder_of(folder)}. Wait for it or stop it, or choose another folder"
        ) from None
    except OSError as error:
        raise StorageError(f"{folder} cannot be used for a run ({error.strerror}); choose another folder") from error
    try:
        # Beside the lock and not in it: reading it must never touch the lock's own file.
        atomic.write_json(folder / HOLDER, {"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
        atomic.sweep(folder)
        yield folder
    finally:
        with contextlib.suppress(OSError):
            (folder / HOLDER).unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def to_remove(path: Path | str) -> Iterator[None]:
    """Hold the lock file `path`, which a run may hold too, while what it guards is removed.

    Nothing is written, so this works on a full disk.

    Raises:
        BusyError: a run holds it.
        OSError: it cannot be locked, as on a disk that is only for reading.
    """
    path = Path(path)
    lock = filelock.FileLock(path, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise BusyError(f"{path.parent} is in use by a run{holder_of(path.parent)}") from None
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path | str) -> bool:
    """Return whether a process holds the lock file `path`; nothing is written."""
    try:
        with last_use.open_unnoted(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # closing the file ends it
    except BlockingIOError:
        return True
    except OSError:  # there is none, or it cannot be read
        return False
    return False


def holder_of(folder: Path) -> str:
    """Say who holds a folder, as " (process 7, since ...)"; nothing if that run has not written its name yet."""
    try:
        holder = json.loads(files.read(folder / HOLDER, 1 << 16))
        return f" (process {holder['pid']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
