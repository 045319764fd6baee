"""`Dataset`: the contract of a data set."""

import abc
from pathlib import Path
from typing import Any, ClassVar

from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Partition
from tfmeta.datasets.stratified import stratified
from tfmeta.plugins import Plugin


class Dataset(Plugin):
    """A data set: where its images come from, and who owns which of them.

    Only `open` must be defined; `ImageBank(self.NAME, images, names)` is enough for it to return.
    """

    KIND: ClassVar[str] = "datasets"
    display_name: ClassVar[str] = ""  # what figures call it; by default its name
    stand_in_for: ClassVar[str | None] = None  # the data set of the paper that it stands in for
    image_shape: ClassVar[tuple[int, int, int] | None] = None  # (H, W, C); None if only the files tell
    profiles_of: ClassVar[str] = "omniglot"  # the data set of the paper whose profiles it has

    @abc.abstractmethod
    def open(self, data_dir: Path, cache_dir: Path, download: bool = True) -> ImageBank:
        """Return the images.

        Args:
            data_dir: Folder with the user's data.
            cache_dir: Folder for decoded images (`tfmeta.datasets.cache`).
            download: Whether missing data may be downloaded.

        Returns:
            A bank whose `dataset` is the data set's name, `self.NAME`.

        Raises:
            DataError: the data is missing, incomplete or damaged.
        """

    def partition(self, bank: ImageBank, seed: int, users: int, attackers: int) -> Partition:
        """Return who owns which images of a bank, a pure function of its arguments; by default `stratified` divides it.

        Args:
            bank: What `open` returned.
            seed: The seed of the split, `data.split_seed`.
            users: How many users there are, numbered from 1.
            attackers: How many of them attack: the first ones.

        Raises:
            ConfigError: the users do not fit the bank's classes.
            DataError: the bank is not what this partition needs.
        """
        return stratified(bank, seed, users, attackers)

    def missing(self, data_dir: Path, download: bool = True) -> str | None:
        """Return why the data set cannot be opened, or None if it can."""
        return None

    def outdated(self, identity: dict[str, Any]) -> str | None:
        """Return why no run can open a cached bank of this data set again; None if one can, or that cannot be told.

        Args:
            identity: What `tfmeta.datasets.cache.fetch` was given, and `shape`.
        """
        return None
