"""Glyphs-color: a stand-in for mini-ImageNet, drawn from a font, for machines without the data."""

from pathlib import Path
from typing import Any

from tfmeta.datasets.base import Dataset
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Partition


class GlyphsColor(Dataset):
    """Glyphs-color: a stand-in for mini-ImageNet, drawn from a font, for machines without the data."""

    display_name = "glyphs-color"
    stand_in_for = "mini-imagenet"
    image_shape = (84, 84, 3)
    profiles_of = "mini-imagenet"

    def open(self, data_dir: Path, cache_dir: Path, download: bool = True) -> ImageBank:
        """Draw glyphs-color, or open an earlier drawing: images uint8 [100, 600, 84, 84, 3].

        Only `cache_dir`, the folder for drawn images (1.27 GB), is used. Raises `DataError` if
        matplotlib lacks the font, and `StorageError` if the cache cannot be written to.
        """
        from tfmeta.datasets.glyphs_color import drawing

        return drawing.read_bank(cache_dir)

    def partition(self, bank: ImageBank, seed: int, users: int, attackers: int) -> Partition:
        """Return who owns which images, as for mini-ImageNet with two letters in place of yawl and arctic fox."""
        from tfmeta.datasets.glyphs_color import drawing
        from tfmeta.datasets.mini_imagenet import split

        return split.divide(bank, seed, users, attackers, backdoor=drawing.BACKDOOR, target=drawing.TARGET)

    def outdated(self, identity: dict[str, Any]) -> str | None:
        """Return why no run can open a cached bank of this identity again, or None (`drawing.outdated`)."""
        from tfmeta.datasets.glyphs_color import drawing

        return drawing.outdated(identity)
