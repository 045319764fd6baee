"""The log file of TFF's worker: appended to by each worker, quoted when one dies."""

import time
from pathlib import Path

from tfmeta.errors import StorageError

TAIL_LINES = 8
TAIL_BYTES = 16_384


class WorkerLog:
    """One worker's part of the file at ``path``. ``with log.open() as stream`` gives what its output goes to."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self._start = 0

    def open(self):
        """Open for appending, with a line that says when. Raises StorageError naming the file."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            stream = self.path.open("ab")
            try:
                stream.write(f"--- tfmeta starts a worker, {time.strftime('%Y-%m-%d %H:%M:%S %z')}\n".encode())
                stream.flush()
            except BaseException:
                stream.close()
                raise
        except OSError as error:
            raise StorageError(f"{self.path}: the log of TFF's worker cannot be written ({error.strerror})") from error
        self._start = stream.tell()
        return stream

    def tail(self) -> str:
        """Where the log is and this worker's last lines, for an error message."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(max(self._start, self.path.stat().st_size - TAIL_BYTES))
                lines = stream.read().decode(errors="replace").splitlines()[-TAIL_LINES:]
        except OSError as error:
            return f"Its log, {self.path}, cannot be read: {error.strerror}"
        if not lines:
            return f"Its log is {self.path}; this worker wrote nothing"
        return "\n  | ".join([f"Its log is {self.path}; the last lines:", *lines])
