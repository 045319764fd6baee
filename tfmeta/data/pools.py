"""Pools of pictures as files that a client reads for itself.

What a client can read is what its files hold, so the walls of the partition are walls between files. A file is
raw uint8 [class, capacity, H, W, C], nothing else: TFF's worker reads it with two TensorFlow operations, ten times
as fast as it takes the same pictures as an argument (tff-notes).
"""

import hashlib
from pathlib import Path

import numpy as np

from tfmeta.store import atomic


def fetch(bank, pool):
    """Return uint8 [n, capacity, H, W, C]: the pool's pictures, turned; zeros where a class has fewer."""
    images = bank.images[pool.classes[:, None], np.maximum(pool.examples, 0)]
    images[pool.examples < 0] = 0
    for turns in range(1, 4):
        turned = pool.turns == turns
        images[turned] = np.rot90(images[turned], turns, axes=(2, 3))
    return images


def pool_file(folder, bank, pool):
    """Write a pool's pictures under ``folder`` if they are not there yet; return the file's path.

    The name is a digest of what the file holds (bank and pool), so runs, users and cases share files and a file
    is never out of date. Raises ``StorageError`` where it cannot be written.
    """
    named = hashlib.sha256(bank.digest.encode())
    for part in (pool.classes, pool.turns, pool.examples):
        named.update(repr(part.shape).encode() + np.ascontiguousarray(part, "<i4").tobytes())
    path = Path(folder) / f"{bank.dataset}-{named.hexdigest()[:20]}.u8"
    size = pool.examples.size * int(np.prod(bank.images.shape[2:]))
    if not (path.exists() and path.stat().st_size == size):
        _write(path, fetch(bank, pool))
    return path


def write_once(folder, prefix, array):
    """Write a small array raw under a name that is a digest of its content; return the path."""
    array = np.ascontiguousarray(array)
    path = Path(folder) / f"{prefix}-{hashlib.sha256(array.tobytes()).hexdigest()[:20]}.u8"
    if not (path.exists() and path.stat().st_size == array.nbytes):
        _write(path, array)
    return path


def _write(path, array):
    with atomic.replacing(path) as file:
        file.write(memoryview(np.ascontiguousarray(array)).cast("B"))  # no second copy of what may be large
