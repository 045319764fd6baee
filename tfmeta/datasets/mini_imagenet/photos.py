"""Colour images from photos: decoded, checked, brought to one size."""

import numpy as np
from PIL import Image

from tfmeta.datasets.archives import LARGEST, Archive
from tfmeta.errors import DataError

SUFFIXES = (".jpeg", ".jpg", ".png")
# Lanczos to a square whatever the shape was, as in proc_images.py of MAML (Finn et al., 2017), by which most of the
# copies of mini-ImageNet that circulate were made.
FILTER = Image.Resampling.LANCZOS


class NotColourError(DataError):
    """An image decodes, but is not RGB."""


def read(archive: Archive, member: str, side: int) -> np.ndarray:
    """Decode a JPEG or PNG and scale it to a square: uint8 [side, side, 3].

    Raises `NotColourError` if it is not RGB, and `DataError` if it does not decode or is too large.
    """
    label = archive.path / member
    with archive.image(member, LARGEST, "JPEG", "PNG") as image:
        if image.mode != "RGB":
            raise NotColourError(f"{label}: is not an RGB image (its mode is {image.mode}); get it again")
        return np.asarray(image if image.size == (side, side) else image.resize((side, side), FILTER))


def resize(image: np.ndarray, side: int) -> np.ndarray:
    """Scale a decoded image, uint8 [H, W, 3], to [side, side, 3]."""
    if image.shape[:2] == (side, side):
        return image
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((side, side), FILTER))
