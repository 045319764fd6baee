"""A data set from a folder with one folder of images per class: `photos/cat/1.png`, `photos/dog/1.png` and so on."""

from pathlib import Path
from typing import Any

from tfmeta.datasets.base import Dataset
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Partition
from tfmeta.datasets.stratified import Shares, stratified
from tfmeta.errors import ConfigError
from tfmeta.plugins import number, word


class ImageFolder(Dataset):
    """Images in a folder per class, `class/image.png`: any number of classes and images, grey or colour, any size.

    PNG, JPEG, BMP, GIF (its first frame), TIFF, WebP and PPM are read. The class is the name of the folder. Hidden
    files, and files that are no images, are left out. All images must have one size, or `resize` must give one.
    """

    folder: str = word("", "folder with one folder of images per class")
    resize: int = number(0, "side in pixels to which images are scaled, whatever their shape; 0 leaves them", 0, 1024)
    grey: bool = word(False, "whether colour images become grey")
    invert: bool = word(False, "whether dark becomes bright, as for dark ink on white paper")
    backdoor: str = word("", "names of the backdoor classes, separated by commas; empty: the seed draws them")
    target: str = word("", "name of the target class; empty: the seed draws it")
    backdoor_classes: int = number(1, "how many backdoor classes the seed draws", 1, 10_000)
    meta_test_share: float = number(
        0.25, "share for meta-test, taken from the classes that are neither target nor backdoor", 0, 1, above=True,
        below=True,
    )  # fmt: skip
    validation_share: float = number(0.25, "share of each class's images that are held out", 0, 1, above=True)
    attacker_share: float = number(
        0.25, "share of the target and backdoor classes' images that the attackers own", 0, 1, above=True
    )
    rotations: bool = word(False, "whether each training class is four, one per quarter turn (images must be square)")

    display_name = "image folder"

    def open(self, data_dir: Path, cache_dir: Path, download: bool = True) -> ImageBank:
        """Decode the folder, or open the cache of an earlier decoding: images uint8 [classes, most images, H, W, C].

        `data_dir` and `download` are not used. Raises `ConfigError` if no folder is named, `DataError` if a folder or
        image is missing, cannot be read or does not fit the others, and `StorageError` if the cache cannot be written.
        """
        from tfmeta.datasets.image_folder import reader

        if not self.folder:
            wanted = "a folder with one folder of images per class, such as --set folder=photos"
            raise ConfigError(f"the data set image-folder needs data.folder, {wanted}")
        how = reader.Reading(self.resize, self.grey, self.invert)
        return reader.read_bank(Path(self.folder), cache_dir, how)

    def partition(self, bank: ImageBank, seed: int, users: int, attackers: int) -> Partition:
        """Return who owns which images (`datasets.stratified`)."""
        height, width = bank.images.shape[2:4]
        if self.rotations and height != width:
            raise ConfigError(
                f"data.rotations needs square images, and those of {self.folder} have {height} x {width} pixels; set "
                "data.resize"
            )
        backdoor = tuple(name.strip() for name in self.backdoor.split(",") if name.strip())
        if backdoor and self.backdoor_classes not in (1, len(backdoor)):
            raise ConfigError(
                f"data.backdoor names {len(backdoor)} classes, and data.backdoor_classes = {self.backdoor_classes} "
                "classes are to be drawn by the seed; set one of the two"
            )
        shares = Shares(
            backdoor=backdoor, target=self.target.strip(), backdoor_classes=self.backdoor_classes,
            meta_test=self.meta_test_share, validation=self.validation_share, attacker=self.attacker_share,
            rotations=4 if self.rotations else 1,
        )  # fmt: skip
        return stratified(bank, seed, users, attackers, shares)

    def outdated(self, identity: dict[str, Any]) -> str | None:
        """Return why no run can open a cached bank of this identity again, or None (`reader.outdated`)."""
        from tfmeta.datasets.image_folder import reader

        return reader.outdated(identity)
