"""An image bank: all images of a data set in one array, with the names of its classes and a digest of the content."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfmeta.errors import DataError


@dataclass(frozen=True, eq=False)
class ImageBank:
    """Images of a data set, class by class.

    Raises:
        DataError: the parts do not fit together.
    """

    dataset: str  # such as "omniglot" or "glyphs-color"
    images: np.ndarray  # uint8 [class, example, H, W, C], grey: ink = 255; a read-only memory map if from the cache
    names: tuple[str, ...]  # one per class, unique, such as "Alphabet_of_the_Magi/character01" or "n04612504"
    digest: str  # `digest_of(images, names)`
    source: str  # where the images came from, one line for people
    # one per class: "background" or "evaluation"; in colour "train", "val", "test", or "extra" (`mini_imagenet.extra`)
    splits: tuple[str, ...]

    def __post_init__(self):
        if self.images.dtype != np.uint8 or self.images.ndim != 5:
            found = f"{self.images.dtype} {list(self.images.shape)}"
            raise DataError(f"{self.dataset}: images must be uint8 [class, example, H, W, C], not {found}")
        classes = len(self.images)
        if not len(self.names) == len(self.splits) == classes:
            raise DataError(f"{self.dataset}: {classes} classes, {len(self.names)} names, {len(self.splits)} splits")
        if len(set(self.names)) != classes:
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise DataError(f"{self.dataset}: two classes are named {twice}")


def digest_of(images: np.ndarray, names: Sequence[str]) -> str:
    """Return the sha256 (hexadecimal) of a bank's content, whatever the bank is called and wherever it came from."""
    head = {"shape": list(images.shape), "names": list(names)}
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for block in images:  # class by class: a mapped bank may be larger than memory
        digest.update(np.ascontiguousarray(block))
    return digest.hexdigest()
