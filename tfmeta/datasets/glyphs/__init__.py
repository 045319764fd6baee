"""Glyphs: a stand-in for Omniglot, drawn from fonts, for machines without the data."""

from pathlib import Path
from typing import Any

from tfmeta.datasets.base import Dataset
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Partition


class Glyphs(Dataset):
    """Glyphs: a stand-in for Omniglot, drawn from fonts, for machines without the data."""

    display_name = "glyphs"
    stand_in_for = "omniglot"
    image_shape = (28, 28, 1)

    def open(self, data_dir: Path, cache_dir: Path, download: bool = True) -> ImageBank:
        """Draw glyphs, or open an earlier drawing: images uint8 [1623, 20, 28, 28, 1].

        Only `cache_dir`, the folder for drawn images, is used. Raises `DataError` if
        matplotlib lacks a font, and `StorageError` if the cache cannot be written to.
        """
        from tfmeta.datasets.glyphs import drawing

        return drawing.read_bank(cache_dir)

    def partition(self, bank: ImageBank, seed: int, users: int, attackers: int) -> Partition:
        """Return who owns which images (`omniglot.split`)."""
        from tfmeta.datasets.omniglot import split

        return split.divide(bank, seed, users, attackers)

    def outdated(self, identity: dict[str, Any]) -> str | None:
        """Return why no run can open a cached bank of this identity again, or None (`drawing.outdated`)."""
        from tfmeta.datasets.glyphs import drawing

        return drawing.outdated(identity)
