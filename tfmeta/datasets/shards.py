"""Shards: files of images that a client reads for itself, so that no client can read another's images.

A shard is raw uint8 [class, capacity, H, W, C] without a header: TFF's worker reads it with two TensorFlow operations,
ten times as fast as it receives the images as an argument.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Subset
from tfmeta.store import atomic

if TYPE_CHECKING:
    import tensorflow as tf


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


def write_shard(folder: Path, bank: ImageBank, subset: Subset) -> Path:
    """Write a subset's images to a shard in `folder` unless it is there; return its path.

    The name is a digest of what the shard holds (bank and subset), so runs, users and cases share shards, and a shard
    is never out of date. Raises `StorageError` if it cannot be written.
    """
    named = hashlib.sha256(bank.digest.encode())
    for part in (subset.classes, subset.turns, subset.examples):
        named.update(repr(part.shape).encode() + np.ascontiguousarray(part, "<i4").tobytes())
    size = subset.examples.size * np.prod(bank.images.shape[2:])
    return _write(Path(folder) / f"{bank.dataset}-{named.hexdigest()[:20]}.u8", size, lambda: fetch(bank, subset))


def write_images(folder: Path, dataset: str, images: np.ndarray) -> Path:
    """Write images, uint8 [n, H, W, C], to a raw file named by a digest of them unless it is there; return its path.

    Raises `StorageError` if it cannot be written.
    """
    images = np.ascontiguousarray(images)
    name = f"{dataset}-images-{hashlib.sha256(images.tobytes()).hexdigest()[:20]}.u8"
    return _write(Path(folder) / name, images.nbytes, lambda: images)


def read_shards(paths: "tf.Tensor", capacity: int, image_shape: Sequence[int]) -> "tf.Tensor":
    """Read shards, whose paths are string [shards], in a graph: uint8 [classes, capacity, H, W, C] of them all."""
    import tensorflow as tf

    raw = tf.strings.reduce_join(tf.map_fn(tf.io.read_file, paths))
    return tf.reshape(tf.io.decode_raw(raw, tf.uint8), [-1, capacity, *image_shape])


def read_images(path: "tf.Tensor", image_shape: Sequence[int]) -> "tf.Tensor":
    """Read what `write_images` wrote, in a graph: `path` is a string scalar, the result uint8 [n, H, W, C]."""
    import tensorflow as tf

    return tf.reshape(tf.io.decode_raw(tf.io.read_file(path), tf.uint8), [-1, *image_shape])


def _write(path: Path, size: int, images: Callable[[], np.ndarray]) -> Path:
    """Write `images()` to `path` unless a file of `size` bytes is there."""
    if not (path.exists() and path.stat().st_size == size):
        with atomic.replacing(path) as file:
            file.write(memoryview(np.ascontiguousarray(images())).cast("B"))  # no second copy of a large array
    return path
