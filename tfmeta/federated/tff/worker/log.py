"""The log file of TFF's worker: each worker appends to it, and the error about a dead worker quotes it."""

import time
from pathlib import Path
from typing import BinaryIO

from tfmeta.errors import StorageError

TAIL_LINES, TAIL_BYTES = 8, 16_384


class WorkerLog:
    """One worker's part of the log file at `path`."""

    def __init__(self, path: Path):
        self.path, self._start = Path(path), 0

    def open(self) -> BinaryIO:
        """Open the file for appending, with a line that says when; raises `StorageError`."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            stream = self.path.open("ab", buffering=0)
            stream.write(f"--- tfmeta starts a worker, {time.strftime('%Y-%m-%d %H:%M:%S %z')}\n".encode())
        except OSError as error:
            raise StorageError(f"{self.path}: cannot write the log of TFF's worker ({error.strerror})") from error
        self._start = stream.tell()
        return stream

    @property
    def place(self) -> str:
        """Where the log is, for messages."""
        return "kept in memory" if self.path.is_relative_to("/proc/self/fd") else str(self.path)

    def tail(self) -> str:
        """Return where the log is and this worker's last lines (no library reads a tail from a given start)."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(max(self._start, self.path.stat().st_size - TAIL_BYTES))
                lines = stream.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        except OSError as error:
            return f"Its log, {self.path}, cannot be read: {error.strerror}"
        what = "the last lines:" if lines else "this worker wrote nothing"
        return "\n  | ".join([f"Its log is {self.place}; {what}", *lines])
