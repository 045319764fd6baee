"""Work on many pictures, on all cores, with a bar."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from tfmeta import progress, threads


def share_out(work: Callable[..., int], jobs: Iterable[tuple], total: int, description: str, unit: str) -> None:
    """Call `work(*job)`, which returns how many of `total` it did, for each job, as many at once as there are cores.

    In threads: they write into one array, and Pillow and numpy let go of Python's lock for most of the work. Of several
    faults the one of the first job is raised, whichever came first; jobs that have not begun are then given up.
    """
    crowd = ThreadPoolExecutor(threads.cores())
    try:
        with progress.bar(total, description, unit) as bar:
            for done in crowd.map(work, *zip(*jobs, strict=True)):
                bar.update(done)
    finally:
        crowd.shutdown(cancel_futures=True)
