"""Find mini-ImageNet, check it and decode it once.

It is read in the forms in which it circulates: photos in a zip or a folder with csv files beside them, or pickles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import features

from tfmeta.datasets import archives, cache
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.mini_imagenet import photos
from tfmeta.datasets.mini_imagenet.extra import FOLDER, NAME, SPLIT, read_extra
from tfmeta.datasets.mini_imagenet.layout import SIDE, SPLITS, YAWL, Class, Layout, check_listings, read_csvs
from tfmeta.datasets.mini_imagenet.pickles import FILES, read_split
from tfmeta.errors import DataError
from tfmeta.utils.parallel import in_threads

EXTRA = 150  # extra images of the yawl that are used: 100 for the attacker, 50 held out (ledger 15)
_PLACES = ("mini-imagenet", "mini_imagenet", "miniimagenet", "miniImageNet", "")
# In a folder of photos other files do not count: a cache or results in it are no new photos. A file without a suffix
# may be a photo.
_COUNTED = (*photos.SUFFIXES, "")
_CHUNK = 50  # images that a thread decodes between two updates of the progress bar


@dataclass(frozen=True)
class Found:
    """Where mini-ImageNet is."""

    folder: Path
    photos: Path | None  # a zip or folder
    pickles: dict[str, Path]  # by split; empty if there are photos
    extra: Path | None  # a folder of extra yawls


def locate(data_dir: Path) -> Found | None:
    """Find mini-ImageNet in a data folder, in its subfolder `mini-imagenet` or in itself; None if it is not there.

    Photos in a zip or in a folder `images` come before pickles, and pickles before photos beside the csv files.
    Raises `DataError` if `data_dir` cannot be read.
    """
    archives.check_folder(data_dir)
    try:
        return next((found for place in _PLACES if (found := _look(data_dir / place, named=place != ""))), None)
    except OSError as error:  # no permission to search a folder
        raise DataError(archives.unreadable(Path(error.filename or data_dir), error)) from error


def _look(folder: Path, named: bool) -> Found | None:
    """Look into one folder; `named` says that its name is mini-ImageNet's, so that any images.zip in it is meant."""
    if not folder.is_dir():
        return None
    extra = folder / FOLDER if (folder / FOLDER).exists() else None
    csvs = [path for split in SPLITS if (path := folder / f"{split}.csv").exists()]
    packed = [path for name in ("images.zip", "images") if (path := folder / name).exists()]
    forms = [{split: path for split, name in form.items() if (path := folder / name).exists()} for form in FILES]
    pickles = max(forms, key=len)
    if csvs or (named and packed):
        zips = sorted(folder.glob("*.zip"))
        place = next(iter(packed), zips[0] if len(zips) == 1 else None)
        if place or len(pickles) < len(SPLITS):  # csv files may also lie beside all pickles, without any photo
            return Found(folder, place or folder, {}, extra)
    return Found(folder, None, pickles, extra) if pickles else None


def read_bank(found: Found, cache_dir: Path, layout: Layout = Layout(), extra: int = EXTRA) -> ImageBank:  # noqa: B008
    """Read what was located, or the cache of an earlier reading: images uint8 [100, 600, 84, 84, 3], 1.27 GB.

    Classes are in the order of their names and images in that of theirs, however they are packed. With a folder of
    extra yawls there is one more class (`mini_imagenet.extra`), which holds its first `extra` images. Raises
    `DataError` if an image or file is missing, there twice, damaged, refused or too few; the message names it.
    """
    csvs = [found.folder / f"{split}.csv" for split in SPLITS] if found.photos else []
    files = [path for path in (found.photos, *csvs, *found.pickles.values(), found.extra) if path and path.exists()]
    identity = {
        **_reading(),
        "extra": extra if found.extra else 0,
        "files": [archives.identity(path, _COUNTED) for path in files],
    }
    shape = (layout.classes + bool(found.extra), layout.images, SIDE, SIDE, 3)
    return cache.fetch(cache_dir, "mini-imagenet", identity, shape, lambda images: _fill(images, found, layout, extra))


def outdated(identity: dict[str, Any]) -> str | None:
    """Return why a bank of this identity cannot be opened again, or None (`Dataset.outdated`)."""
    gone = next(filter(None, (archives.changed_since(found, _COUNTED) for found in identity["files"])), None)
    return gone or cache.differs(identity, _reading())


def _reading() -> dict[str, Any]:
    """Return what decides a bank beside the files."""
    return {"filter": photos.FILTER.name, "decoder": features.version("libjpeg_turbo")}


def _fill(images: np.ndarray, found: Found, layout: Layout, extra: int) -> cache.Description:
    classes = (_from_photos if found.photos else _from_pickles)(images, found, layout)
    names, splits = [each.name for each in classes], [each.split for each in classes]
    source = f"mini-ImageNet from {found.photos or found.folder}"
    if found.extra:
        if YAWL not in names:
            raise DataError(f"{found.extra}: extra images of {YAWL}, but {found.folder} has no such class; remove it")
        images[-1, :extra] = read_extra(found.extra, images[names.index(YAWL)], extra)
        names, splits = [*names, NAME], [*splits, SPLIT]
        source += f", with {extra} extra yawls from {found.extra}"
    return cache.Description(tuple(names), tuple(splits), source)


def _from_photos(images: np.ndarray, found: Found, layout: Layout) -> list[Class]:
    listings = read_csvs(found.folder)
    classes = check_listings(listings, layout)
    with archives.Archive(found.photos) as archive:
        members = _members(archive, listings)
        _decode(images, classes, lambda _, name: photos.read(archive, members[name], SIDE))
    return classes


def _members(archive: archives.Archive, listings: dict) -> dict[str, str]:
    """Return {file name: member} of the images that the csv files name, whatever folders they are in."""
    wanted = {name for _, classes in listings.values() for names in classes.values() for name in names}
    members: dict[str, str] = {}
    for member in archive.members:
        name = member.rsplit("/", 1)[-1]
        if name in wanted and members.setdefault(name, member) != member:
            other = members[name]
            raise DataError(f"{archive.path / member}: a duplicate, since {other} is there too; remove one of them")
    for path, classes in listings.values():
        missing = [name for names in classes.values() for name in names if name not in members]
        if missing:
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise DataError(f"{path}: names {missing[0]}{more}, which is not in {archive.path}; get the images again")
    return members


def _from_pickles(images: np.ndarray, found: Found, layout: Layout) -> list[Class]:
    missing = [split for split in SPLITS if split not in found.pickles]
    if missing:
        there = next(iter(found.pickles.values()))
        raise DataError(f"{there}: found, but the file of the {missing[0]} split is missing beside it; get it too")
    read = {split: read_split(found.pickles[split]) for split in SPLITS}
    classes = check_listings({split: listing for split, (listing, _) in read.items()}, layout)
    _decode(images, classes, lambda split, number: photos.resize(read[split][1][number], SIDE))
    return classes


def _decode(images: np.ndarray, classes: list[Class], image: Callable[[str, str | int], np.ndarray]) -> None:
    """Write all images into the bank; `image(split, name or number)` returns one."""

    def work(row: int, first: int) -> int:
        chosen = classes[row].images[first : first + _CHUNK]
        for example, name in enumerate(chosen, first):
            images[row, example] = image(classes[row].split, name)
        return len(chosen)

    jobs = [(row, first) for row in range(len(classes)) for first in range(0, len(classes[row].images), _CHUNK)]
    in_threads(work, jobs, len(classes) * images.shape[1], "decoding mini-ImageNet", "image")
