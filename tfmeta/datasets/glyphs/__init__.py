"""Glyphs: a stand-in for Omniglot, drawn from fonts, for machines without the data."""

from pathlib import Path

from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.omniglot.split import partition as partition

DISPLAY_NAME = "glyphs"
STAND_IN_FOR = "omniglot"
IMAGE_SHAPE = (28, 28, 1)


def open_bank(data_dir: Path, cache_dir: Path, download: bool = True) -> ImageBank:
    """Draw glyphs, or open an earlier drawing: images uint8 [1623, 20, 28, 28, 1].

    Only `cache_dir`, the folder for drawn images, is used. Raises `DataError` if
    matplotlib lacks a font, and `StorageError` if the cache cannot be written to.
    """
    from tfmeta.datasets.glyphs import drawing

    return drawing.read_bank(cache_dir)
