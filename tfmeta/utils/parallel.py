"""Work on many images on all cores, with a progress bar."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from tfmeta.utils import progress, threads


def in_threads(work: Callable[..., int], jobs: Iterable[tuple], total: int, description: str, unit: str) -> None:
    """Call `work(*job)` for each job, as many at once as there are cores.

    Threads, not processes: the jobs write into one array, and Pillow and numpy release Python's lock most of the time.
    What a job raises is raised here. If several fail, it is the error of the first of them in the order of `jobs`;
    jobs that have not started are cancelled.

    Args:
        work: Does one job and returns how many of `total` it did.
        jobs: The arguments of each call.
        total: How much there is to do in all.
        description: What the progress bar says.
        unit: What it counts, such as "image".
    """
    executor = ThreadPoolExecutor(threads.cores())
    try:
        with progress.bar(total, description, unit) as bar:
            with _signals_later():
                results = executor.map(work, *zip(*jobs, strict=True))
            for done in results:
                bar.update(done)
    finally:
        executor.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _signals_later() -> Iterator[None]:
    """Handle Ctrl-C, SIGTERM and SIGHUP only after the block.

    An exception while threads are being started can leave a lock locked that those threads, and then the end of the
    process, wait for. Masking the signals is not enough: numpy's threads receive them too.
    """
    received, before = [], {}
    if threading.current_thread() is threading.main_thread():  # only there do Python's handlers run
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if callable(signal.getsignal(number)):
                before[number] = signal.signal(number, lambda number, _: received.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in received:
            signal.raise_signal(number)
