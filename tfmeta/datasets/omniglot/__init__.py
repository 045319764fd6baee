"""Omniglot: 1623 characters of 50 alphabets, 20 drawings of each (Lake et al., Science 350, 2015)."""

from pathlib import Path
from typing import Any

from tfmeta.datasets.base import Dataset
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Partition
from tfmeta.errors import DataError, DownloadError, StorageError

# How long `missing` waits for an answer, so that a machine without a network falls back to the stand-in within seconds.
PROBE_SECONDS = 4.0


class Omniglot(Dataset):
    """Omniglot: 1623 characters of 50 alphabets, 20 drawings of each (Lake et al., Science 350, 2015)."""

    display_name = "Omniglot"
    stand_in_for = None
    image_shape = (28, 28, 1)

    def open(self, data_dir: Path, cache_dir: Path, download: bool = True) -> ImageBank:
        """Open Omniglot: images uint8 [1623, 20, 28, 28, 1], ink = 255.

        `data_dir` holds the release, or it is downloaded there if `download`; `cache_dir` is for decoded images. Raises
        `DataError` if the release is missing, incomplete or damaged, `DownloadError` if it could not be downloaded, and
        `StorageError` if a folder cannot be written to.
        """
        from tfmeta.datasets.omniglot import reader, release

        found = release.obtain(data_dir) if download else release.locate(data_dir)
        if not found:
            raise DataError(
                f"{data_dir}: no Omniglot here (looked for images_background and images_evaluation, .zip or folder, "
                f"there and in {data_dir}/omniglot); put them there, or allow the download (make data)"
            )
        return reader.read_bank(found, cache_dir)

    def missing(self, data_dir: Path, download: bool = True) -> str | None:
        """Return why Omniglot cannot be opened, or None if it is there (downloaded just now, if need be)."""
        from tfmeta.datasets.omniglot import release

        reason = f"there is no Omniglot in {data_dir}"
        if len(release.locate(data_dir)) == len(release.PARTS):
            return None
        if not download:
            return f"{reason}, and downloading is off"
        if not release.reachable(release.public_url(), PROBE_SECONDS):
            return f"{reason}, and {release.public_url()} cannot be reached"
        try:
            release.obtain(data_dir)
        except (DownloadError, StorageError) as error:
            return f"{reason}, and downloading it failed: {error}"
        return None

    def partition(self, bank: ImageBank, seed: int, users: int, attackers: int) -> Partition:
        """Return who owns which images (`omniglot.split`)."""
        from tfmeta.datasets.omniglot import split

        return split.divide(bank, seed, users, attackers)

    def outdated(self, identity: dict[str, Any]) -> str | None:
        """Return why no run can open a cached bank of this identity again, or None (`reader.outdated`)."""
        from tfmeta.datasets.omniglot import reader

        return reader.outdated(identity)
