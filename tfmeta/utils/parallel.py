"""Work on many pictures, on all cores, with a bar."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from tfmeta.utils import progress, threads


def share_out(work: Callable[..., int], jobs: Iterable[tuple], total: int, description: str, unit: str) -> None:
    """Call `work(*job)`, which returns how many of `total` it did, for each job, as many at once as there are cores.

    In threads: they write into one array, and Pillow and numpy let go of Python's lock for most of the work. Of several
    faults the one of the first job is raised, whichever came first; jobs that have not begun are then given up.
    """
    crowd = ThreadPoolExecutor(threads.cores())
    try:
        with progress.bar(total, description, unit) as bar:
            with _signals_wait():
                answers = crowd.map(work, *zip(*jobs, strict=True))
            for done in answers:
                bar.update(done)
    finally:
        crowd.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _signals_wait():
    """Take Ctrl-C and its like afterwards: an exception while threads are started may leave a lock taken that they
    wait for, and the end of the process with them. (A mask would not do: numpy's threads take signals too.)"""
    came, before = [], {}
    if threading.current_thread() is threading.main_thread():  # only there do Python's handlers run
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)
