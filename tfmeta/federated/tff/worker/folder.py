"""The private folder of the worker's socket.

It exists from the worker's start until we are connected. Whoever makes one keeps it locked, and the kernel releases the
lock of a process that ends, however it ends. So a folder without a lock was left by a killed program, and the next
start removes it.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from tfmeta.errors import StorageError

PREFIX, SOCKET = "tfmeta-worker-", "worker"
LONGEST_BASE = 72  # bytes; the kernel limits the path of a Unix socket to 108


class SocketFolder:
    """A new folder that only this user can enter; raises `StorageError` where none can be made."""

    def __init__(self):
        base = tempfile.gettempdir() if len(os.fsencode(tempfile.gettempdir())) <= LONGEST_BASE else "/tmp"
        sweep(base)
        try:
            self.path, self._lock = _locked(base)
        except OSError as error:
            raise StorageError(f"{base}: cannot make a folder for TFF's worker ({error}); set TMPDIR") from error
        self.socket = self.path / SOCKET

    def remove(self) -> None:
        """Remove the folder and give up its lock; a second call does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def sweep(base: Path | str) -> None:
    """Remove the folders in `base` that this user's killed programs left."""
    for path in Path(base).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # locked, gone, another's, or on a file system that has no locks: it stays
            descriptor = os.open(path, os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(descriptor).st_uid == os.geteuid():
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(SOCKET, dir_fd=descriptor)
                    path.rmdir()  # and not its content, if there is more in it than we make
            finally:
                os.close(descriptor)


def _locked(base):
    """Return a new folder and the descriptor that locks it; a sweep that comes before the lock costs a second try."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_DIRECTORY)
            with contextlib.suppress(OSError):  # no locks on this file system; then nobody sweeps there either
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists():
                return path, descriptor
            os.close(descriptor)
