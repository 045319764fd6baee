"""Seeds by name: every random draw has one that says what it is for.

A seed is int32[2], what TensorFlow's stateless operations take. It is derived from the run's seed and a path of
names (purpose, round, user ...), so that no draw depends on how many were made before it: a run that continues
from a checkpoint draws what an unbroken one would.
"""

import hashlib

import numpy as np


def derive(seed, *path):
    """Return int32[2], the seed of one purpose: ``derive(7, "pretraining", "round", 3, "user", 2)``."""
    words = "/".join(str(part) for part in (seed, *path))
    return np.frombuffer(hashlib.blake2b(words.encode(), digest_size=8).digest(), dtype="<i4").astype(np.int32)


def generator(seed, *path):
    """Return numpy's generator for one purpose, for what is drawn outside the graph."""
    words = "/".join(str(part) for part in (seed, *path))
    return np.random.Generator(
        np.random.PCG64(int.from_bytes(hashlib.blake2b(words.encode(), digest_size=16).digest(), "little"))
    )


def fold(seed, number):
    """Return the int32 [2] seed of the `number`-th thing drawn under `seed` (a tensor; runs in a graph)."""
    import tensorflow as tf  # here, so that deriving seeds loads no TensorFlow

    return tf.random.experimental.stateless_fold_in(seed, number)
