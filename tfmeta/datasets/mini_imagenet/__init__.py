"""mini-ImageNet: 100 classes of 600 colour images (Vinyals et al., 2016; split of Ravi and Larochelle, 2017)."""

from pathlib import Path
from typing import Any

from tfmeta.datasets.base import Dataset
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Partition
from tfmeta.errors import DataError


class MiniImagenet(Dataset):
    """mini-ImageNet: 100 classes of 600 colour images (Vinyals et al., 2016; split of Ravi and Larochelle, 2017)."""

    display_name = "mini-ImageNet"
    stand_in_for = None
    image_shape = (84, 84, 3)
    profiles_of = "mini-imagenet"

    def open(self, data_dir: Path, cache_dir: Path, download: bool = True) -> ImageBank:
        """Open mini-ImageNet: images uint8 [100, 600, 84, 84, 3].

        `data_dir` holds the images, or a folder `mini-imagenet` with them; `cache_dir` is for decoded images (1.27 GB).
        `download` is not used: the images may not be redistributed, so there is no public download. Raises `DataError`
        if the data set is missing, incomplete or damaged, and `StorageError` if the cache cannot be written to.
        """
        from tfmeta.datasets.mini_imagenet import reader

        found = reader.locate(data_dir)
        if not found:
            why = self.missing(data_dir)
            raise DataError(f"{why}; put it there, or use glyphs-color. It cannot be downloaded")
        return reader.read_bank(found, cache_dir)

    def missing(self, data_dir: Path, download: bool = True) -> str | None:
        """Return why mini-ImageNet cannot be opened, or None if it is there."""
        from tfmeta.datasets.mini_imagenet import reader

        if reader.locate(data_dir):
            return None
        return (
            f"{data_dir}: no mini-ImageNet here (looked for train.csv, val.csv and test.csv with images.zip or a "
            f"folder images, and for mini-imagenet-cache-train.pkl and the like, in {data_dir}/mini-imagenet and there)"
        )

    def partition(self, bank: ImageBank, seed: int, users: int, attackers: int) -> Partition:
        """Return who owns which images (`mini_imagenet.split`)."""
        from tfmeta.datasets.mini_imagenet import split

        return split.divide(bank, seed, users, attackers, backdoor=split.YAWL, target=split.ARCTIC_FOX)

    def outdated(self, identity: dict[str, Any]) -> str | None:
        """Return why no run can open a cached bank of this identity again, or None (`reader.outdated`)."""
        from tfmeta.datasets.mini_imagenet import reader

        return reader.outdated(identity)
