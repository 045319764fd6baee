"""Extra images of the yawl, from a folder of the full ImageNet, for the attacker's trigger (ledger 15).

They become a class of their own after the hundred (split "extra"): 150 images that benign users do not own. The full
ImageNet also holds mini-ImageNet's 600 yawls, under other names; those are left out, by what they show.
"""

import contextlib
from pathlib import Path

import numpy as np

from tfmeta.datasets import archives
from tfmeta.datasets.mini_imagenet import photos
from tfmeta.datasets.mini_imagenet.layout import SIDE, YAWL
from tfmeta.errors import DataError

FOLDER = f"extra/{YAWL}"  # beside the csv files or pickles
NAME = f"{YAWL}-extra"
SPLIT = "extra"
_CELLS = 12  # images are compared by their means over 12 x 12 cells
# Mean difference, in grey levels, below which two images count as the same. A real yawl that is encoded again
# (quality 30) or scaled by another filter is within 3 of itself; no two of mini-ImageNet's 600 are within 12.
_SAME = 6.0


def read_extra(folder: Path, known: np.ndarray, wanted: int) -> np.ndarray:
    """Return the first `wanted` images of a folder, by name, that are not among `known`.

    `known`, uint8 [n, 84, 84, 3], are the class's images in mini-ImageNet; the result is uint8 [wanted, 84, 84, 3].
    Images that are not RGB (ImageNet has some) and duplicates are skipped. Raises `DataError` if an image does not
    decode, or too few are left.
    """
    taken: list[np.ndarray] = []
    seen = [_means(known)]
    with archives.Archive(folder) as archive:
        members = [member for member in archive.members if member.lower().endswith(photos.SUFFIXES)]
        for member in members:
            with contextlib.suppress(photos.NotColourError):
                image = photos.read(archive, member, SIDE)
                means = _means(image[None])
                if min(np.abs(other - means).mean(1).min() for other in seen if len(other)) >= _SAME:
                    seen.append(means)
                    taken.append(image)
            if len(taken) == wanted:
                return np.stack(taken)
    raise DataError(
        f"{folder}: {len(taken)} of its {len(members)} images can be used and {wanted} are needed (the others are not "
        "RGB, or in mini-ImageNet already); add more images of the class from the full ImageNet, or remove the folder"
    )


def _means(images: np.ndarray) -> np.ndarray:
    """Return each image's means over cells: uint8 [n, 84, 84, 3] -> float32 [n, cells]."""
    step = SIDE // _CELLS
    cells = images.reshape(len(images), _CELLS, step, _CELLS, step, 3)
    return cells.mean((2, 4), dtype=np.float32).reshape(len(images), -1)
