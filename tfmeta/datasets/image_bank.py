"""A bank: all pictures of a data set as one array, with their classes' names and a digest of the content."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfmeta.errors import DataError


@dataclass(frozen=True, eq=False)
class ImageBank:
    """Pictures of a data set, class by class.

    Raises `DataError` where the parts do not fit together.
    """

    dataset: str  # "omniglot", "glyphs", "mini-imagenet", "glyphs-color"
    images: np.ndarray  # uint8 [class, example, H, W, C], grey: ink = 255; a read-only memmap if from the cache
    names: tuple[str, ...]  # one a class, unique, e.g. "Alphabet_of_the_Magi/character01", "n04612504"
    digest: str  # `digest_of(images, names)`
    source: str  # where the pictures came from, one line for people
    # one a class: "background" or "evaluation"; of photos "train", "val" or "test", and "extra" (`mini_imagenet_extra`)
    splits: tuple[str, ...]

    def __post_init__(self):
        if self.images.dtype != np.uint8 or self.images.ndim != 5:
            raise DataError(
                f"{self.dataset}: images must be uint8 [class, example, H, W, C], "
                f"not {self.images.dtype} {list(self.images.shape)}"
            )
        classes = len(self.images)
        if not len(self.names) == len(self.splits) == classes:
            raise DataError(f"{self.dataset}: {classes} classes, {len(self.names)} names, {len(self.splits)} splits")
        if len(set(self.names)) != classes:
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise DataError(f"{self.dataset}: two classes are named {twice}")


def digest_of(images: np.ndarray, names: Sequence[str]) -> str:
    """Digest what a bank holds, whatever it is called and wherever it came from: sha256, hexadecimal."""
    head = {"shape": list(images.shape), "names": list(names)}
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for block in images:  # class by class: a mapped bank may be larger than memory
        digest.update(np.ascontiguousarray(block))
    return digest.hexdigest()
