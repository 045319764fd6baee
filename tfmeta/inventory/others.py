"""What is listed and never removed: results and parts, downloaded data, and what lies beside them."""

from collections.abc import Iterable
from pathlib import Path

from tfmeta.inventory import entries, folders
from tfmeta.inventory.entries import LISTED, Entry
from tfmeta.inventory.sources import NOT_RUNS

PARTS, DATA = "parts", "data"
_OF_CACHE = ("banks", "shards", "pools", "data")


def parts(results: Path) -> list[Entry]:
    """Return one entry for each run's folder; `StorageError` if a folder cannot be read."""
    found = []
    for run in folders.inside(results):
        if run.is_folder and run.name not in NOT_RUNS:
            held = list(folders.below(run.path))
            results_there = sum(item.path.suffix == ".json" and item.path.parent == run.path for item in held)
            parts_there = sum(item.path.suffix == ".npz" and item.path.parent.name == "parts" for item in held)
            what = f"results: {results_there}; measured sets of tasks: {parts_there}"
            found.append(_listed(PARTS, run.name, held, what))
    return found


def data(cache_dir: Path) -> list[Entry]:
    """Return downloaded data, and what in the cache is not tfmeta's; `StorageError` if a folder cannot be read."""
    found = []
    for item in folders.inside(cache_dir / DATA):
        held = folders.below(item.path) if item.is_folder else [item]
        found.append(_listed(DATA, item.name, held, "downloaded, or put there"))
    beside = (item for item in folders.inside(cache_dir) if item.name not in _OF_CACHE or not item.is_folder)
    return found + [folders.foreign(DATA, item) for item in beside]


def _listed(kind: str, name: str, items: Iterable[folders.Item], what: str) -> Entry:
    return entries.made(kind, name, [(item.path, item.status) for item in items if item.is_file], LISTED, what)
