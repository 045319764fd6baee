"""Seeds by name: every random draw has one that says what it is for.

A seed is int32 [2], as TensorFlow's stateless operations take it. It is derived from the run's seed and a path of names
(purpose, round, user ...), so that no draw depends on how many were made before it: a run that resumes from a
checkpoint draws what an uninterrupted one would.
"""

import hashlib
from typing import Any

import numpy as np


def derive(seed: int, *path: str | int) -> np.ndarray:
    """Return the seed of one purpose, int32 [2]: `derive(7, "pretraining", "round", 3, "user", 2)`."""
    return np.frombuffer(_digest(8, seed, *path), dtype="<i4").astype(np.int32)


def generator(seed: int, *path: str | int) -> np.random.Generator:
    """Return numpy's generator for one purpose, for what is drawn outside the graph."""
    return np.random.Generator(np.random.PCG64(int.from_bytes(_digest(16, seed, *path), "little")))


def fold(seed: Any, number: Any) -> Any:
    """Return the seed of the `number`-th thing drawn under `seed`, a tensor int32 [2]; this runs in a graph, too."""
    import tensorflow as tf  # here, so that deriving seeds loads no TensorFlow

    return tf.random.experimental.stateless_fold_in(seed, number)


def _digest(size: int, *words: str | int) -> bytes:
    return hashlib.blake2b("/".join(map(str, words)).encode(), digest_size=size).digest()
