"""What mini-ImageNet consists of, and the csv file or pickle of each split that lists its classes and their images."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tfmeta.datasets import archives
from tfmeta.errors import DataError
from tfmeta.utils import files

SPLITS = ("train", "val", "test")
SIDE = 84  # pixels of an image in the bank
# The classes that the paper reserves (section 3, ledger 14). Both are among the 64 of the training split.
YAWL, ARCTIC_FOX = "n04612504", "n02120079"
_LARGEST_CSV = 16 << 20  # bytes; the largest of the public ones has 1.2 million


@dataclass(frozen=True)
class Layout:
    """How many classes each split has, and how many images each class."""

    train: int = 64
    val: int = 16
    test: int = 20
    images: int = 600

    @property
    def classes(self) -> int:
        """The number of classes in all."""
        return self.train + self.val + self.test


class Listing(NamedTuple):
    """What one file says about one split: its classes and, for each, the names or numbers of its images."""

    path: Path
    classes: dict[str, list[Any]]


class Class(NamedTuple):
    """One class, with the names or numbers of its images in order."""

    name: str
    split: str
    images: list[Any]


def check_listings(listings: dict[str, Listing], layout: Layout) -> list[Class]:
    """Return all classes, sorted by name, with their images sorted.

    Raises `DataError` if a class is in two splits, or a class or split is too small or too large.
    """
    classes: dict[str, Class] = {}
    for split, (path, listed) in listings.items():
        for name, images in listed.items():
            if name in classes:
                other = listings[classes[name].split].path
                raise DataError(f"{path}: the class {name} is in {other} too; get both files again")
            if len(images) != layout.images:
                found = f"{len(images)} images instead of {layout.images}"
                raise DataError(f"{path}: the class {name} has {found}; get the file again")
            classes[name] = Class(name, split, sorted(images))
        wanted = getattr(layout, split)
        if len(listed) != wanted:
            found = f"{len(listed)} classes instead of {wanted}"
            raise DataError(f"{path}: {found}, so not the split of Ravi and Larochelle; get the file again")
    return [classes[name] for name in sorted(classes)]


def read_csvs(folder: Path) -> dict[str, Listing]:
    """Read train.csv, val.csv and test.csv: the file names of each class.

    Raises `DataError` if one is missing, is not a csv with the columns filename and label, or names an image again.
    """
    listings, seen = {}, {}
    for split in SPLITS:
        path, classes = folder / f"{split}.csv", {}
        for line, name, label in _rows(path):
            if name in seen:
                raise DataError(f"{path}, line {line}: {name} is named twice (first in {seen[name]}); remove one")
            seen[name] = f"{path.name}, line {line}"
            classes.setdefault(label, []).append(name)
        listings[split] = Listing(path, classes)
    return listings


def _rows(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, file name without folders, label)."""
    reader = csv.DictReader(_text(path).splitlines(), skipinitialspace=True)
    try:
        reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
        if not {"filename", "label"} <= set(reader.fieldnames):
            raise DataError(f"{path}: its first line must name the columns filename and label; get the file again")
        for row in reader:
            if not (row["filename"] and row["label"]):
                raise DataError(f"{path}, line {reader.line_num}: needs a file name and a label; get the file again")
            name = row["filename"].strip().replace("\\", "/")  # of Windows
            yield reader.line_num, name.rsplit("/", 1)[-1], row["label"].strip()
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: is not csv ({error}); get the file again") from error


def _text(path: Path) -> str:
    try:
        data = files.read(path, _LARGEST_CSV)
        if archives.is_web_page(data):
            raise DataError(f"{path}: is a web page (HTML), not a csv; get the file again")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not text ({error}); get the file again") from error
    except OSError as error:
        raise DataError(archives.unreadable(path, error)) from error
