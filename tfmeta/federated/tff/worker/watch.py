"""Notices a worker that does nothing during a call: one that was stopped, or that waits for something."""

import logging
import time
from pathlib import Path

import psutil

from tfmeta.errors import WorkerError
from tfmeta.federated.tff.worker.lifecycle import Worker

logger = logging.getLogger(__name__)

BUSY = 0.01  # share of a processor that counts as progress; an idle worker uses 0.0003 of one
LONGEST_STEP = 1.0  # seconds; more between two looks means that this process was stopped too, and counts as this many
STATES = {  # of any thread, the most telling first; see proc(5)
    "T": "it is stopped (SIGSTOP), and `kill -CONT {pid}` lets it go on",
    "t": "a debugger holds it",
    "D": "it waits for a disk or for a folder on the network",
    "R": "it could compute, but gets no processor",
    "S": "it waits, and its log may say for what",
}
RESUME = "Finished rounds are safe: give the same command again to resume after the last of them."
SILENT = f"""\
TFF's worker (pid %d) has done nothing for %.0f s: %s.
Its log is %s. Ctrl-C ends the run. {RESUME}
--worker-timeout SECONDS (in Python: worker_timeout) would end such a worker without being asked."""
GOES_ON = "TFF's worker (pid %d) goes on, after %.0f s without progress."


class ProgressWatch:
    """Watches one call. Progress is processor time of the worker, or of the thread that prepares the call for it.

    A long computation is therefore no silence. A warning tells of `patience` seconds of silence, and again each time
    that they have doubled.

    Args:
        worker: The worker.
        thread: The native id of the thread that makes the call.
        patience: Seconds of silence before the first warning.
        timeout: Seconds of silence that are an error; None: wait for ever.
    """

    def __init__(self, worker: Worker, thread: int, patience: float, timeout: float | None):
        self._worker, self._thread, self._patience, self._timeout = worker, thread, patience, timeout
        self._window = min(patience, timeout or patience) / 10  # seconds between two measurements
        self._last, self._used = time.monotonic(), self._processor_time()
        self._passed = self._silent = 0.0  # seconds since the last measurement, and without progress
        self._warn_at, self._warned = patience, False

    def look(self) -> None:
        """Look at the worker, several times a second; warn of silence, and tell of its end.

        Raises:
            WorkerError: `timeout` seconds have passed without progress.
        """
        now = time.monotonic()
        self._passed += min(now - self._last, LONGEST_STEP)
        self._last = now
        if self._passed < self._window:
            return
        used = self._processor_time()
        if used - self._used > BUSY * self._passed:
            self.progress()
        else:
            self._silent += self._passed
            self._judge()
        self._used, self._passed = used, 0.0

    def progress(self) -> None:
        """Note that the worker did something, or has answered."""
        if self._warned:
            logger.warning(GOES_ON, self._worker.pid, self._silent)
        self._silent, self._warn_at, self._warned = 0.0, self._patience, False

    def _judge(self):
        if self._timeout is not None and self._silent >= self._timeout:
            raise WorkerError(
                f"TFF's worker (pid {self._worker.pid}) was ended because it did nothing for {self._silent:.0f} s "
                f"(worker_timeout = {self._timeout:g}): {self._state()}.\n{self._worker.log.tail()}\n{RESUME}"
            )
        if self._silent >= self._warn_at:
            logger.warning(SILENT, self._worker.pid, self._silent, self._state(), self._worker.log.place)
            self._warn_at, self._warned = 2 * self._silent, True

    def _processor_time(self):
        try:
            worker = psutil.Process(self._worker.pid).cpu_times()
            ours = [each for each in psutil.Process().threads() if each.id == self._thread]
        except psutil.Error:  # the worker has just died, which the caller notices
            return 0.0
        return worker.user + worker.system + sum(each.user_time + each.system_time for each in ours)

    def _state(self):
        """Say in what state the worker is and what to do about it."""
        letters = set()
        for path in Path(f"/proc/{self._worker.pid}/task").glob("*/stat"):
            try:
                letters.add(path.read_text().rpartition(")")[2].split()[0])
            except OSError:  # the thread has ended
                continue
        found = next((words for letter, words in STATES.items() if letter in letters), "its state is unknown")
        return found.format(pid=self._worker.pid)
