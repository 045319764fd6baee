"""Looking into folders: symbolic links are seen, and never followed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tfmeta.errors import StorageError
from tfmeta.inventory import entries
from tfmeta.inventory.entries import FOREIGN, UNUSED, USED, Entry
from tfmeta.store import atomic

_PLAIN, _FOLDER, _LINK = "file", "folder", "symbolic link"


class Item(NamedTuple):
    """What a folder holds: a file, a folder or something else, as `sort` says, and its stat."""

    path: Path
    sort: str
    status: os.stat_result

    @property
    def name(self) -> str:
        """The name without folders."""
        return self.path.name

    @property
    def is_file(self) -> bool:
        """Whether it is a plain file."""
        return self.sort == _PLAIN

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.sort == _FOLDER


def inside(folder: Path) -> list[Item]:
    """Return what a folder holds, sorted by name; nothing if it is missing, a link, or no folder.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        if folder.is_symlink():
            return []
        with os.scandir(folder) as found:
            return sorted(item for each in found if (item := _item(each)) is not None)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        advice = "check its permissions, or name another folder"
        raise StorageError(f"{folder}: cannot be read ({error.strerror}); {advice}") from error


def below(folder: Path) -> Iterator[Item]:
    """Yield all that a folder and the folders in it hold."""
    for item in inside(folder):
        yield item
        if item.is_folder:
            yield from below(item.path)


def foreign(kind: str, item: Item) -> Entry:
    """Return the entry of what tfmeta did not write."""
    why = "no file of tfmeta has such a name"
    if not (item.is_file or item.is_folder):
        why = f"a {item.sort}, which is not followed" if item.sort == _LINK else f"a {item.sort}"
    return entries.made(kind, item.name, [(item.path, item.status)], FOREIGN, why=why)


def temporary(kind: str, item: Item) -> Entry | None:
    """Return the entry of a file that is being written, or was when its process was killed; None for any other."""
    if not (item.is_file and atomic.is_temporary(item.path)):
        return None
    what, file = "a half-written file", [(item.path, item.status)]
    if atomic.is_abandoned(item.path):
        return entries.made(kind, item.name, file, UNUSED, what, "left by a killed run", left=True)
    return entries.made(kind, item.name, file, USED, what, "a process is writing it")


def _item(found: os.DirEntry) -> Item | None:
    try:
        status = found.stat(follow_symlinks=False)
    except FileNotFoundError:  # removed just now
        return None
    if found.is_symlink():
        sort = _LINK
    elif found.is_dir(follow_symlinks=False):
        sort = _FOLDER
    else:
        sort = _PLAIN if found.is_file(follow_symlinks=False) else "device, socket or pipe"
    return Item(Path(found.path), sort, status)
