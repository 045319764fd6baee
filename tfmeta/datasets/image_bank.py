"""The image bank: all images of a data set in one array, the names of its classes and a digest of the content."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfmeta.errors import DataError


@dataclass(frozen=True, eq=False)
class ImageBank:
    """Images of a data set, class by class. The first three fields are enough to make one.

    Raises:
        DataError: the parts do not fit together.
    """

    dataset: str  # the data set's name, such as "omniglot" or "glyphs-color"
    images: np.ndarray  # uint8 [class, example, H, W, C], grey: ink = 255; a read-only memory map if from the cache
    names: tuple[str, ...]  # one per class, unique, such as "Alphabet_of_the_Magi/character01" or "n04612504"
    digest: str = ""  # `digest_of(images, names, counts)`, which is also the default
    source: str = ""  # where the images came from, one line for people
    # one per class: "background" or "evaluation"; in colour "train", "val", "test", or "extra" (`mini_imagenet.extra`);
    # by default empty words
    splits: tuple[str, ...] = ()
    # The number of images of each class, where not all have as many: the places after them hold zeros.
    counts: tuple[int, ...] | None = None

    def __post_init__(self):
        self._check_images()
        classes = len(self.images)
        names, splits = tuple(self.names), tuple(self.splits) or ("",) * classes
        if not len(names) == len(splits) == classes:
            raise DataError(f"{self.dataset}: {classes} classes, {len(names)} names, {len(splits)} splits")
        if len(set(names)) != classes:
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{self.dataset}: two classes are named {twice}")
        most = self.images.shape[1]
        if self.counts is not None and not (
            len(self.counts) == classes and all(0 < count <= most for count in self.counts)
        ):
            raise DataError(f"{self.dataset}: counts must be {classes} numbers from 1 to {most}, one per class")
        digest = self.digest or digest_of(self.images, names, self.counts)
        for field, value in (("names", names), ("splits", splits), ("digest", digest)):
            object.__setattr__(self, field, value)

    def _check_images(self) -> None:
        wanted = "images must be uint8 [class, example, H, W, C]"
        if not isinstance(self.images, np.ndarray):
            raise DataError(f"{self.dataset}: {wanted}, not {type(self.images).__name__}")
        if self.images.dtype != np.uint8 or self.images.ndim != 5 or not self.images.size:
            raise DataError(f"{self.dataset}: {wanted}, not {self.images.dtype} {list(self.images.shape)}")

    @property
    def examples(self) -> np.ndarray:
        """The number of images of each class, int32 [classes]."""
        if self.counts is None:
            return np.full(len(self.images), self.images.shape[1], np.int32)
        return np.array(self.counts, np.int32)


def digest_of(images: np.ndarray, names: Sequence[str], counts: Sequence[int] | None = None) -> str:
    """Return the sha256 (hexadecimal) of a bank's content, whatever the bank is called and wherever it came from."""
    head = {"shape": list(images.shape), "names": list(names)}
    if counts is not None:
        head["counts"] = list(counts)
    digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for block in images:  # class by class: a mapped bank may be larger than memory
        digest.update(np.ascontiguousarray(block))
    return digest.hexdigest()
