"""What the cache and a results folder hold, what uses it, and the removal of what nothing uses.

Nothing here opens an image or a weight: names, sizes, times and headers tell.
"""

from pathlib import Path

from tfmeta.inventory import banks, models, others, shards
from tfmeta.inventory.entries import DAMAGED, FOREIGN, LISTED, UNFINISHED, UNKNOWN, UNUSED, USED, Entry

KINDS = (banks.KIND, shards.KIND, models.KIND, others.PARTS, others.DATA)
__all__ = ["DAMAGED", "FOREIGN", "KINDS", "LISTED", "UNFINISHED", "UNKNOWN", "UNUSED", "USED", "Entry", "take"]


def take(cache_dir: Path, results: Path, given_up: bool = False) -> list[Entry]:
    """Return all that is stored, by kind.

    Args:
        cache_dir: The cache folder; it may be missing.
        results: The results folder; it may be missing.
        given_up: Whether unfinished models are given up, so that those that only they rest on count as unused.

    Raises:
        StorageError: a folder cannot be read.
    """
    # links are followed in what the user named, and never in what is found there
    cache_dir, results = Path(cache_dir).resolve(), Path(results).resolve()
    found, beside = banks.find(cache_dir)
    return [
        *(bank.entry for bank in found), *beside, *shards.find(cache_dir, found), *models.find(results, given_up),
        *others.parts(results), *others.data(cache_dir),
    ]  # fmt: skip
