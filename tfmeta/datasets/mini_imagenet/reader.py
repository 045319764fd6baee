"""mini-ImageNet (Vinyals et al., 2016; split of Ravi and Larochelle, 2017): found, checked, decoded once.

Taken in the forms that people have: photos in a zip or a folder with train.csv, val.csv and test.csv beside them, or
the pickles that circulate. There is no public download.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import features

from tfmeta.datasets import archives, cache
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.mini_imagenet import photos
from tfmeta.datasets.mini_imagenet.extra import FOLDER, NAME, SPLIT, read_extra
from tfmeta.datasets.mini_imagenet.layout import SIDE, SPLITS, YAWL, Class, Layout, check_release, read_csvs
from tfmeta.datasets.mini_imagenet.pickles import FILES, read_split
from tfmeta.errors import DataError
from tfmeta.utils.parallel import share_out

EXTRA = 150  # pictures of full ImageNet's yawl that are used: 100 for the attacker, 50 held out (ledger 15)
_PLACES = ("mini-imagenet", "mini_imagenet", "miniimagenet", "miniImageNet", "")
# Of a folder with photos what else lies there does not count: a cache or results in it are not new photos. What has no
# suffix may be one.
_COUNTED = (*photos.SUFFIXES, "")
_CHUNK = 50  # pictures that a thread decodes before it says so


@dataclass(frozen=True)
class Found:
    """Where mini-ImageNet is: a folder, and in it the photos (a zip or folder) or the pickles of the splits."""

    folder: Path
    photos: Path | None
    pickles: dict[str, Path]
    extra: Path | None  # a folder of more yawls

    @property
    def files(self) -> list[Path]:
        """All that the bank's content depends on."""
        named = [self.photos, *(self.folder / f"{split}.csv" for split in SPLITS)] if self.photos else []
        return [*named, *self.pickles.values(), *([self.extra] if self.extra else [])]


def locate(data_dir: Path) -> Found | None:
    """Find mini-ImageNet in a data folder, in `mini-imagenet` or in the folder itself; None where it is not there.

    Photos in a zip or a folder `images` are taken before pickles, and those before photos that lie about. Raises
    `DataError` where `data_dir` cannot be read.
    """
    archives.check_folder(data_dir)
    try:
        return next((found for place in _PLACES if (found := _look(data_dir / place, named=place != ""))), None)
    except OSError as error:  # a folder may not be searched
        raise DataError(archives.unreadable(Path(error.filename or data_dir), error)) from error


def _look(folder: Path, named: bool) -> Found | None:
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
        if place or len(pickles) < len(SPLITS):  # csv files lie beside whole pickles too, without any photo
            return Found(folder, place or folder, {}, extra)
    return Found(folder, None, pickles, extra) if pickles else None


def read_bank(found: Found, cache_dir: Path, layout: Layout = Layout(), extra: int = EXTRA) -> ImageBank:  # noqa: B008
    """Read what was located, or the cache of an earlier reading: images uint8 [100, 600, 84, 84, 3], 1.27 GB.

    Classes are in the order of their names and pictures in that of theirs, however they are packed. With a folder of
    more yawls the bank has a class more (`mini_imagenet_extra`), whose first `extra` pictures are there. Raises
    `DataError`, which names the file or picture, where anything is missing, doubled, damaged, refused or too few.
    """
    identity = {
        "filter": photos.FILTER.name,
        "decoder": features.version("libjpeg_turbo"),
        "extra": extra if found.extra else 0,
        # what is missing is named later
        "files": [archives.identity(path, _COUNTED) for path in found.files if path.exists()],
    }
    shape = (layout.classes + bool(found.extra), layout.pictures, SIDE, SIDE, 3)

    def fill(images: np.ndarray) -> cache.Description:
        return _fill(images, found, layout, extra)

    return cache.fetch(cache_dir, "mini-imagenet", identity, shape, fill)


def _fill(images: np.ndarray, found: Found, layout: Layout, extra: int) -> cache.Description:
    classes = (_from_photos if found.photos else _from_pickles)(images, found, layout)
    names, splits = [of.name for of in classes], [of.split for of in classes]
    source = f"mini-ImageNet from {found.photos or found.folder}"
    if found.extra:
        if YAWL not in names:
            raise DataError(f"{found.extra}: more pictures of {YAWL}, but {found.folder} has no such class; remove it")
        images[-1, :extra] = read_extra(found.extra, images[names.index(YAWL)], extra)
        names, splits = [*names, NAME], [*splits, SPLIT]
        source += f", with {extra} more yawls from {found.extra}"
    return cache.Description(tuple(names), tuple(splits), source)


def _from_photos(images: np.ndarray, found: Found, layout: Layout) -> list[Class]:
    listings = read_csvs(found.folder)
    classes = check_release(listings, layout)
    with archives.open_archive(found.photos) as pictures:
        members = _members(pictures, listings)
        _decode(images, classes, lambda _, name: photos.read(pictures, members[name], SIDE))
    return classes


def _members(pictures: archives.Pictures, listings: dict) -> dict[str, str]:
    """Find the pictures that the csv files name, whatever folders they are in: {file name: member}."""
    wanted = {name for listing in listings.values() for names in listing.classes.values() for name in names}
    members: dict[str, str] = {}
    for member in pictures.members:
        name = member.rsplit("/", 1)[-1]
        if name in wanted and members.setdefault(name, member) != member:
            raise DataError(
                f"{pictures.label(member)}: doubled, since {members[name]} is there too; remove one of them"
            )
    for listing in listings.values():
        missing = [name for names in listing.classes.values() for name in names if name not in members]
        if missing:
            more = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
            raise DataError(
                f"{listing.path}: names {missing[0]}{more}, which is not in {pictures.path}; get the pictures again"
            )
    return members


def _from_pickles(images: np.ndarray, found: Found, layout: Layout) -> list[Class]:
    missing = [split for split in SPLITS if split not in found.pickles]
    if missing:
        there = next(iter(found.pickles.values()))
        raise DataError(f"{there}: found, but the file of the {missing[0]} split is missing beside it; get it too")
    read = {split: read_split(found.pickles[split]) for split in SPLITS}
    classes = check_release({split: listing for split, (listing, _) in read.items()}, layout)
    _decode(images, classes, lambda split, number: photos.resize(read[split][1][number], SIDE))
    return classes


def _decode(images: np.ndarray, classes: list[Class], picture: Callable) -> None:
    """Write all pictures into the bank; `picture(split, name or number)` gives one."""

    def work(row: int, first: int) -> int:
        of = classes[row]
        chosen = of.pictures[first : first + _CHUNK]
        for example, name in enumerate(chosen, first):
            images[row, example] = picture(of.split, name)
        return len(chosen)

    jobs = [(row, first) for row in range(len(classes)) for first in range(0, len(classes[row].pictures), _CHUNK)]
    share_out(work, jobs, len(classes) * images.shape[1], "decoding mini-ImageNet", "pictures")
