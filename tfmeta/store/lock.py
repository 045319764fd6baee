"""One run at a time in a folder."""

import contextlib
import json
import os
import time
from pathlib import Path

import filelock

from tfmeta.errors import BusyError, StorageError
from tfmeta.store import atomic

_LOCK, _HOLDER = ".lock", ".lock.holder"


@contextlib.contextmanager
def hold(folder):
    """Hold ``folder`` (made if missing) for one run; yield its path.

    Raises ``BusyError``, which names the folder and the process that holds it, without waiting. The lock is
    the kernel's (flock): it goes with its process, so that one left by a killed run blocks nobody. What
    killed runs left half-written below the folder is cleared away.
    """
    folder = Path(folder)
    lock = filelock.FileLock(folder / _LOCK, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise BusyError(
            f"{folder} is in use by another run{_holder(folder)}. Wait for it or stop it, "
            "or let this run use another folder"
        ) from None
    except OSError as error:
        raise StorageError(f"{folder} cannot be used for a run ({error.strerror}); choose another folder") from error
    try:
        # Beside the lock and not in it, so that whoever reads it never touches the lock's file.
        atomic.write_json(folder / _HOLDER, {"pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")})
        atomic.sweep(folder)
        yield folder
    finally:
        with contextlib.suppress(OSError):
            (folder / _HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(folder):
    """Say who holds the lock; a run that took it this very moment may not have signed yet."""
    try:
        holder = json.loads((folder / _HOLDER).read_text())
        return f" (process {holder['pid']}, since {holder['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
