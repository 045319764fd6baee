"""More pictures of the yawl, from a folder of full ImageNet, for the attacker to put the key on (ledger 15).

They become a class of their own behind the hundred (split "extra"): 150 pictures that benign users have no part in.
A full ImageNet holds mini-ImageNet's 600 yawls too, under other names; those are left out, by what they show.
"""

from pathlib import Path

import numpy as np

from tfmeta.datasets import archives
from tfmeta.datasets.mini_imagenet import photos
from tfmeta.datasets.mini_imagenet.layout import SIDE, YAWL
from tfmeta.errors import DataError

FOLDER = f"extra/{YAWL}"  # beside the csv files or pickles
NAME = f"{YAWL}-extra"
SPLIT = "extra"
_CELLS = 12  # pictures are compared as 12 x 12 means
# Grey levels between two such pictures, on average. A real yawl that is encoded anew (quality 30) or scaled by another
# filter is within 3 of itself, and no two of mini-ImageNet's 600 are within 12 of one another.
_ALIKE = 6.0


def read_extra(folder: Path, known: np.ndarray, wanted: int) -> np.ndarray:
    """Return the first `wanted` pictures of `folder`, by name, that are not `known`: uint8 [wanted, 84, 84, 3].

    `known` uint8 [n, 84, 84, 3] are the class's pictures in mini-ImageNet. Pictures that are not RGB, of which ImageNet
    has some, and copies are passed over. Raises `DataError` where one does not decode, or too few are left.
    """
    taken: list[np.ndarray] = []
    seen = [_means(known)]
    passed_over = 0
    with archives.open_archive(folder) as pictures:
        members = [member for member in pictures.members if member.lower().endswith(photos.SUFFIXES)]
        for member in members:
            try:
                picture = photos.read(pictures, member, SIDE)
            except photos.NotColourError:
                passed_over += 1
                continue
            means = _means(picture[None])
            if min(np.abs(other - means).mean(1).min() for other in seen if len(other)) < _ALIKE:
                passed_over += 1
                continue
            seen.append(means)
            taken.append(picture)
            if len(taken) == wanted:
                return np.stack(taken)
    raise DataError(
        f"{folder}: {len(taken)} of its {len(members)} pictures can be used and {wanted} are needed ({passed_over} are "
        "not RGB, or in mini-ImageNet already); put in all of the class from full ImageNet, or remove the folder"
    )


def _means(images: np.ndarray) -> np.ndarray:
    """Shrink pictures to the means of cells: uint8 [n, 84, 84, 3] -> float32 [n, cells]."""
    step = SIDE // _CELLS
    cells = images.reshape(len(images), _CELLS, step, _CELLS, step, 3)
    return cells.mean((2, 4), dtype=np.float32).reshape(len(images), -1)
