"""Colour photos: decoded, checked, brought to one size."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, UnidentifiedImageError

from tfmeta.datasets.archives import Pictures
from tfmeta.errors import DataError

SUFFIXES = (".jpeg", ".jpg", ".png")
LARGEST = 16 << 20  # bytes of a picture; ImageNet's largest has 15 million
_MOST_PIXELS = 64 << 20  # ImageNet's largest has 20 million; decoding must not be a way to fill the memory
# Lanczos to a square whatever the shape was, as in proc_images.py of MAML (Finn et al., 2017), by which most of the
# copies of mini-ImageNet that circulate were made.
FILTER = Image.Resampling.LANCZOS


class NotColourError(DataError):
    """A picture decodes, but is not RGB."""


def read(pictures: Pictures, member: str, side: int) -> np.ndarray:
    """Decode a JPEG or PNG: uint8 [side, side, 3]; `DataError` names the picture and what is wrong with it."""
    label = pictures.label(member)
    data = pictures.read(member, LARGEST)
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
            width, height = image.size
            if width * height > _MOST_PIXELS:
                raise DataError(f"{label}: {width} x {height} pixels are too many for a photo; get it again")
            if image.mode != "RGB":
                raise NotColourError(f"{label}: is not an RGB picture (its mode is {image.mode}); get it again")
            return np.asarray(image if image.size == (side, side) else image.resize((side, side), FILTER))
    except UnidentifiedImageError as error:
        raise DataError(f"{label}: does not decode, since it is no JPEG or PNG; get it again") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"{label}: does not decode ({error}); get it again") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{label}: refused ({error}); get it again") from error


def resize(picture: np.ndarray, side: int) -> np.ndarray:
    """Bring a decoded picture, uint8 [H, W, 3], to [side, side, 3]."""
    if picture.shape[:2] == (side, side):
        return picture
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).resize((side, side), FILTER))
