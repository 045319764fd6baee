"""Shards: files of images that a client reads for itself, so that no client can read another's images.

A shard is raw uint8 [class, capacity, H, W, C] without a header: TFF's worker reads it with two TensorFlow operations,
ten times as fast as it receives the images as an argument. Its name says what it holds and has a digest of its content
(`tfmeta.store.sealed`). A damaged one is made again, and a warning names it.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Subset
from tfmeta.store import atomic, sealed

if TYPE_CHECKING:
    import tensorflow as tf

_SUFFIX = ".u8"
_shards: dict[tuple[Path, str], Path] = {}  # (folder, stem) -> the shard that this process used last


def fetch(bank: ImageBank, subset: Subset) -> np.ndarray:
    """Return a subset's images, rotated: uint8 [n, capacity, H, W, C], zeros where a class has fewer."""
    images = bank.images[subset.classes[:, None], np.maximum(subset.examples, 0)]
    images[subset.examples < 0] = 0
    for turns in range(1, 4):
        turned = subset.turns == turns
        images[turned] = np.rot90(images[turned], turns, axes=(2, 3))
    return images


def images_of(bank: ImageBank, subset: Subset) -> np.ndarray:
    """Return a subset's images one after the other, class by class: uint8 [k, H, W, C]."""
    return fetch(bank, subset)[subset.examples >= 0]


def name_of(bank: ImageBank) -> str:
    """Return how the names of a bank's shards begin; `tfmeta cache` tells by it which bank they belong to."""
    return f"{bank.dataset}-{bank.digest[:12]}"


def write_shard(folder: Path, bank: ImageBank, subset: Subset) -> Path:
    """Write a subset's images to a shard in `folder` unless it is there intact; return its path.

    The name begins with the bank's, and then has a digest of what the shard should hold (bank and subset). So runs,
    users and cases share shards, and a shard is never out of date. Raises `StorageError` if it cannot be written.
    """
    _sweep(folder)
    named = hashlib.sha256(bank.digest.encode())
    for part in (subset.classes, subset.turns, subset.examples):
        named.update(repr(part.shape).encode() + np.ascontiguousarray(part, "<i4").tobytes())
    folder, stem = Path(folder), f"{name_of(bank)}-{named.hexdigest()[:20]}"
    path = _shards.get((folder, stem))  # in every round: without it, the whole folder would be searched
    if path is None or not sealed.intact(path):
        path = sealed.find(folder, stem, _SUFFIX)
        if path is None:
            path = sealed.replace(folder, stem, _SUFFIX, [np.ascontiguousarray(fetch(bank, subset))])
        _shards[folder, stem] = path
    return path


def write_images(folder: Path, name: str, images: np.ndarray) -> Path:
    """Write images, uint8 [n, H, W, C], to a raw file named by a digest of them unless it is there; return its path.

    `name`, of the bank that they come from, begins the file's name.
    Raises `StorageError` if it cannot be written.
    """
    _sweep(folder)
    return sealed.write(folder, f"{name}-images", _SUFFIX, [np.ascontiguousarray(images)])


def read_shards(
    paths: "tf.Tensor", capacity: int, image_shape: Sequence[int],
    fitting: "Callable[[tf.Tensor], tf.Tensor]" = lambda values: values,
) -> "tf.Tensor":  # fmt: skip
    """Read shards, whose paths are string [shards], in a graph: uint8 [classes, capacity, H, W, C] of them all.

    `fitting` is given all their bytes, uint8 [bytes], and returns them unless they do not fit.
    """
    import tensorflow as tf

    raw = tf.strings.reduce_join(tf.map_fn(tf.io.read_file, paths))
    return tf.reshape(fitting(tf.io.decode_raw(raw, tf.uint8)), [-1, capacity, *image_shape])


def read_images(path: "tf.Tensor", image_shape: Sequence[int]) -> "tf.Tensor":
    """Read what `write_images` wrote, in a graph: `path` is a string scalar, the result uint8 [n, H, W, C]."""
    import tensorflow as tf

    return tf.reshape(tf.io.decode_raw(tf.io.read_file(path), tf.uint8), [-1, *image_shape])


@functools.cache
def _sweep(folder: Path) -> None:
    """Remove, once a process, what killed processes left half-written among the shards."""
    atomic.sweep(folder, below=False)
