"""Image banks in the cache, and whether a run could open them again."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from tfmeta import registry
from tfmeta.datasets import cache
from tfmeta.errors import TfmetaError
from tfmeta.inventory import entries, folders
from tfmeta.inventory.entries import UNKNOWN, UNUSED, USED, Entry
from tfmeta.plugins import sources
from tfmeta.store import last_use, lock

KIND = "banks"
_NAME = re.compile(r"(.+-[0-9a-f]{16})\.(json|npy|lock)")
# What a side file is not, although it is JSON, ends in one of these.
_DAMAGED = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)


class Bank(NamedTuple):
    """A bank: its entry, and the digest of its content (empty if it is damaged)."""

    entry: Entry
    digest: str


def find(cache_dir: Path) -> tuple[list[Bank], list[Entry]]:
    """Return the banks of a cache, and what else its folder of banks holds; `StorageError` if it cannot be read."""
    groups: dict[str, list[folders.Item]] = {}
    others = []
    for item in folders.inside(cache_dir / KIND):
        match = _NAME.fullmatch(item.name)
        if match and item.is_file:
            groups.setdefault(match[1], []).append(item)
        else:
            others.append(folders.temporary(KIND, item) or folders.foreign(KIND, item))
    return [_bank(name, items) for name, items in groups.items()], others


def _bank(name: str, items: list[folders.Item]) -> Bank:
    """Return a bank from its files, sorted by name: .json, .lock and .npy."""
    by_suffix = {item.path.suffix: item for item in items}
    lock_file = items[0].path.with_suffix(".lock")
    # without its .json a bank does not count, so that is removed first, and the lock last
    files = [(each.path, each.status) for suffix in (".json", ".npy", ".lock") if (each := by_suffix.get(suffix))]
    if lock.is_held(lock_file):
        return Bank(entries.made(KIND, name, files, USED, "a bank", "a process is making it", lock=lock_file), "")
    if not {".json", ".npy"} <= by_suffix.keys():
        why = "left by a run that ended before it was whole"
        return Bank(entries.made(KIND, name, files, UNUSED, "a bank that is not whole", why, lock=lock_file), "")
    try:
        with last_use.open_unnoted(by_suffix[".json"].path) as file:
            stored = json.loads(file.read())
        identity, size = stored["identity"], stored["bytes"]
        what, digest, sealed = _words(identity, stored["source"]), str(stored["digest"]), "seal" in stored
        if by_suffix[".npy"].status.st_size != size or cache.name_of(identity) != name:
            raise ValueError
        state, why = _state(identity) if sealed else (UNUSED, "of an older format (without a seal)")
    except _DAMAGED:
        why = "damaged: its .json file, or its size, is not what was written"
        return Bank(entries.made(KIND, name, files, UNUSED, "a bank", why, lock=lock_file), "")
    return Bank(entries.made(KIND, name, files, state, what, why, lock=lock_file), digest)


def _words(identity: dict[str, Any], source: str) -> str:
    classes, examples, *shape = identity["shape"]
    size = "x".join(map(str, shape))
    return f"{identity['dataset']}: {classes} classes of up to {examples} images, {size}; {source}"


def _state(identity: dict[str, Any]) -> tuple[str, str]:
    """Return whether a run could open a bank of this identity, and why (not)."""
    if identity["format"] != cache.FORMAT:
        return UNUSED, f"of an older format ({identity['format']})"
    name, maker = identity["dataset"], identity.get("maker")
    if name not in registry.names("datasets"):
        return UNKNOWN, f"no data set {name} is loaded (give its file with --plugin)"
    try:
        dataset = registry.find("datasets", name)
        if maker and sources.digest_of(dataset).digest != maker["code"]:
            return UNUSED, f"made by other code of the data set {name}"
        why = dataset().outdated(identity)
    except TfmetaError as error:  # a package that cannot be used, a font that is missing
        return UNKNOWN, str(error)
    return (USED, "a run opens it when it needs this data") if why is None else (UNUSED, why)
