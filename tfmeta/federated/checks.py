"""Checks of jobs before a round, with numpy and the file system alone, and the errors of a round that failed.

A client reads its files in the graph, where a wrong one gives an error of TensorFlow or gRPC. So both federations look
at all jobs first. What only the graph knows, such as the norm of an update, `tfmeta.federated.refusals` asserts there.
"""

import contextlib
import math
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfmeta import registry
from tfmeta.errors import ClientUpdateError, TfmetaError
from tfmeta.federated.jobs import Job
from tfmeta.store import sealed

if TYPE_CHECKING:
    from tfmeta.federated.clients import Setting

REFUSED = "tfmeta refused an update: "  # marks our messages inside those of TensorFlow and gRPC
BEFORE = "theta_G before the round"  # where weights are that hold NaN or infinity
_AGAIN = "Make the job again, which writes its files anew (a command that is given again does so)"


class _Problem(Exception):
    """What is wrong with a job, in words that follow the user's name."""


@contextlib.contextmanager
def refusing(setting: "Setting", jobs: Sequence[Job], chunk: bool = False) -> Iterator[None]:
    """Check jobs, run the block that computes with them, and name the user in the error if it refuses one.

    Args:
        setting: What all clients share.
        jobs: The jobs that the block runs.
        chunk: Whether they are chunks of an attacker's training, as `check_jobs` takes it.

    Raises:
        ClientUpdateError: A job does not pass `check_jobs`, or the graph refused an update, or a file vanished or
            changed while the block ran.
    """
    check_jobs(setting, jobs, chunk)
    try:
        yield
    except TfmetaError:
        raise
    except Exception as error:
        if found := re.search(re.escape(REFUSED) + r"[^\]\"\\\n]*", str(error)):
            raise ClientUpdateError(f"{found.group().strip()}; the round failed and the state is unchanged") from error
        try:
            check_jobs(setting, jobs, chunk)  # a file may have vanished or changed since
            _check_reading(jobs, str(error))
        except ClientUpdateError as named:
            raise named from error
        raise


def check_jobs(setting: "Setting", jobs: Sequence[Job], chunk: bool = False) -> None:
    """Raise `ClientUpdateError` unless clients can run their jobs; the message names the user and the file or value.

    Args:
        setting: What all clients share.
        jobs: Jobs of one round, one per client, as arrays.
        chunk: Whether they are chunks of an attacker's training, which reads target and triggered images too.

    Raises:
        ClientUpdateError: There is no job. Or a file is missing, damaged, cannot be read, or has another size than the
            model's images or weights ask for; a count is not from 1 (K for a benign user) to the capacity; boost, alpha
            or meta step size is NaN or infinity.
    """
    if not jobs:
        raise ClientUpdateError("there is no job: a round needs at least one client")
    for job in jobs:
        try:
            _check(setting, job, chunk)
        except _Problem as problem:
            raise _refused(job, problem) from None


def after(jobs: Sequence[Job], aggregation: str) -> str:
    """Return the words for theta_G after a round, whose weights are not finite though each update was."""
    return f"theta_G after the round of {', '.join(str(job.user) for job in jobs)}, aggregated by {aggregation}"


def benign_needs(setting: "Setting") -> tuple[int, int]:
    """Return how many classes, and how many images of each, a client needs to train as a benign user."""
    return setting.config.meta_learning.ways, setting.config.meta_learning.shots


def _refused(job, problem):
    return ClientUpdateError(f"{str(job.user) or 'a client'}: {problem}. The state is unchanged")


def _check_reading(jobs, message):
    """Refuse the file of a job that TensorFlow's message is about, which has the path and the system's words."""
    for job in jobs:
        for path in (*job.shards, job.prepared, job.target, job.triggered):
            if path and (found := re.search(re.escape(f"{path}; ") + r"([\w /,-]+)", message)):
                raise _refused(job, f"{path} could not be read ({found[1].strip()}); check the disk and the file")


def _check(setting, job, chunk):
    _check_numbers(job)
    if chunk:
        _check_shards(setting, job, 1, 1)  # what more it needs is the attack's to say
        for path in (job.target, job.triggered):
            _check_whole(path, _image_bytes(setting), "images", setting.model.image_shape)
        return
    if job.prepared:
        wanted, size = 4 * sum(math.prod(shape) for shape in setting.model.shapes), _size(job.prepared)
        if size != wanted:
            raise _Problem(f"{job.prepared} has {size} bytes, but the model's weights have {wanted}. {_AGAIN}")
    if not job.prepared or registry.build("attacks", setting.config).needs_reference:
        _check_shards(setting, job, *benign_needs(setting))


def _check_numbers(job):
    for name in ("boost", "alpha", "meta_step_size"):
        with np.errstate(over="ignore"):
            value = np.float32(getattr(job, name))
        if not np.isfinite(value):
            raise _Problem(f"its job has {name} = {value}; give a finite number")
    for name in ("first_episode", "meta_batches"):
        if (value := int(getattr(job, name))) < 0:
            raise _Problem(f"its job has {name} = {value}; give a number from 0 on")


def _check_shards(setting, job, classes, least):
    """Check a job's shards and counts; an episode takes `classes` classes with `least` images each."""
    counts, capacity = np.asarray(job.counts), setting.capacity
    if len(counts) < classes:
        raise _Problem(f"its job has images of {len(counts)} classes; an episode needs at least {classes}")
    wrong = np.flatnonzero((counts < least) | (counts > capacity))
    if wrong.size:
        first = wrong[0]
        raise _Problem(f"its job has counts[{first}] = {counts[first]}; give {least} to {capacity} images per class")
    each = capacity * _image_bytes(setting)
    what = f"classes of {capacity} images each"
    held = sum(_check_whole(path, each, what, setting.model.image_shape) for path in job.shards)
    if held != len(counts):
        files = ", ".join(map(str, job.shards)) or "no file"
        raise _Problem(f"its job has counts of {len(counts)} classes, but its shards hold {held} ({files}). {_AGAIN}")


def _check_whole(path, each, what, shape):
    """Return how many units of `each` bytes a file of images holds; refuse one that holds a part of a unit, or none."""
    size = _size(path)
    if size % each or not size:
        image = "x".join(map(str, shape))
        raise _Problem(
            f"{path} has {size} bytes, but {what} ({image} bytes per image) take a multiple of {each}: it is cut off, "
            f"or of another data set or configuration. {_AGAIN}"
        )
    return size // each


def _image_bytes(setting):
    return math.prod(setting.model.image_shape)


def _size(path):
    """Return a file's size in bytes; refuse one that is missing, damaged or cannot be read."""
    if not (path := str(path)):
        raise _Problem(f"its job leaves out a file. {_AGAIN}")
    try:
        found = Path(path).stat()
        if not stat.S_ISREG(found.st_mode):  # opening a named pipe would wait
            raise _Problem(f"{path} is not a file. {_AGAIN}")
        with open(path, "rb"):
            pass
    except FileNotFoundError:
        raise _Problem(f"{path} is missing. {_AGAIN}") from None
    except OSError as error:
        raise _Problem(f"{path} cannot be read ({error.strerror}); check its permissions and the disk") from error
    if sealed.sealed(path) and not sealed.intact(path):
        raise _Problem(f"{path} is damaged: its content is not what was written. {_AGAIN}")
    return found.st_size
