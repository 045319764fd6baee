"""Shards in the cache: which bank they belong to, and whether they were used lately."""

import re
import time
from collections.abc import Sequence
from pathlib import Path

from tfmeta import registry
from tfmeta.inventory import entries, folders
from tfmeta.inventory.banks import Bank
from tfmeta.inventory.entries import UNUSED, USED, Entry
from tfmeta.store import last_use

KIND = "shards"
LATELY = 30  # days: a shard is made again from its bank in a moment, so one that nobody reads can go
_OLDER = "pools"  # what the folder was called before
_NAME = re.compile(r"(?P<dataset>.+)-(?P<bank>[0-9a-f]{12})-(images|[0-9a-f]{20})-[0-9a-f]{20}\.u8")
_OLD_NAME = re.compile(r"(?P<dataset>[^.]+?)-(images-)?[0-9a-f]{20}(-[0-9a-f]{20})?\.u8")


def find(cache_dir: Path, banks: Sequence[Bank]) -> list[Entry]:
    """Return the shards of a cache, one entry each; `StorageError` if a folder cannot be read."""
    found = []
    for folder in (KIND, _OLDER):
        for item in folders.inside(cache_dir / folder):
            current = folder == KIND and item.is_file and _NAME.fullmatch(item.name)
            older = item.is_file and _OLD_NAME.fullmatch(item.name)
            if current:
                found.append(_shard(item, current, banks))
            elif older:
                name, file = f"{folder}/{older['dataset']}-*", [(item.path, item.status)]
                found.append(entries.made(KIND, name, file, UNUSED, "clients' images", "of an older format"))
            else:
                found.append(folders.temporary(KIND, item) or folders.foreign(KIND, item))
    return found


def _shard(item: folders.Item, match: re.Match, banks: Sequence[Bank]) -> Entry:
    dataset, digest = match["dataset"], match["bank"]
    own = [bank.entry for bank in banks if bank.digest.startswith(digest)]
    what = f"clients' images of the bank {own[0].name}" if own else f"clients' images of {dataset}"
    used = next((bank for bank in own if bank.state != UNUSED), None)
    if own and used is None:
        state, why = UNUSED, f"its bank is unused: {own[0].why}"
    # a data set from outside may keep its images elsewhere
    elif not own and registry.is_built_in("datasets", dataset):
        state, why = UNUSED, "its bank is gone"
    elif last_use.of(item.status) < time.time() - LATELY * 86400:
        state, why = UNUSED, f"not used for {LATELY} days"
    else:
        state, why = USED, "used lately"
    return entries.made(KIND, f"{dataset}-{digest}-*", [(item.path, item.status)], state, what, why)
