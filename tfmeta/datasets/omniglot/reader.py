"""Read Omniglot (Lake, Salakhutdinov and Tenenbaum, Science 350, 2015): check it and shrink it to 28 x 28 pixels."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfmeta.datasets import archives, cache
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.omniglot.layout import DRAWINGS, PARTS, SIDE, Digest, Part, index
from tfmeta.errors import DataError
from tfmeta.utils import progress

SMALL = 28  # pixels of an image in the bank
_LARGEST = 64 << 10  # bytes of a PNG; the largest of the release has 522
# How many quarters of each of 15 large pixels lie in each of 4 small ones: float32 [15, 4]. 105 to 28 is 15 to 4, so
# every 15 pixels become 4 in the same way.
_LOW, _CELL = 15 * np.arange(4), 4 * np.arange(15)[:, None]
_AREA = np.clip(np.minimum(_LOW + 15, _CELL + 4) - np.maximum(_LOW, _CELL), 0, None).astype(np.float32)


def read_bank(found: dict[str, Path], cache_dir: Path, parts: tuple[Part, ...] = PARTS) -> ImageBank:
    """Read the located parts, or the cache of an earlier reading: images uint8 [1623, 20, 28, 28, 1].

    Images that are complete but not those of the public release give a warning whenever the bank is opened. Raises
    `DataError` if an image or file is missing, there twice, damaged or of another size; the message names it.
    """
    missing = [part.folder for part in parts if part.split not in found]
    if missing:
        there = ", ".join(str(path) for path in found.values())
        raise DataError(f"{there}: found, but {' and '.join(missing)} (.zip or folder) is missing beside it; add it")
    sources = [(part, found[part.split]) for part in parts]
    identity = {**_reading(parts), "files": [archives.identity(path) for _, path in sources]}
    shape = (sum(len(part.characters) for part in parts), DRAWINGS, SMALL, SMALL, 1)
    return cache.fetch(cache_dir, "omniglot", identity, shape, lambda images: _fill(images, sources))


def outdated(identity: dict[str, Any]) -> str | None:
    """Return why a bank of this identity cannot be opened again, or None (`Dataset.outdated`)."""
    gone = next(filter(None, map(archives.changed_since, identity["files"])), None)
    return gone or cache.differs(identity, _reading(PARTS))


def _reading(parts: tuple[Part, ...]) -> dict[str, Any]:
    """Return what decides a bank beside the files."""
    return {"size": SMALL, "filter": "area", "release": [part.digest for part in parts]}


def _fill(images: np.ndarray, sources: list[tuple[Part, Path]]) -> cache.Description:
    names, splits, remarks = [], [], []
    with progress.bar(len(images), "reading Omniglot", "character") as bar:
        for part, path in sources:
            digest = Digest()
            for name, drawings in read_part(path, part):
                images[len(names)] = shrink(drawings)
                digest.add(name, drawings)
                names.append(name)
                splits.append(part.split)
                bar.update(1)
            if digest.hexdigest() != part.digest:
                remarks.append(
                    f"{path}: complete, but its images are NOT those of Omniglot's public release "
                    f"(content digest {digest.hexdigest()[:12]}, expected {part.digest[:12]}); "
                    "results are not comparable with others' on Omniglot"
                )
    source = "Omniglot from " + " and ".join(str(path) for _, path in sources)
    return cache.Description(tuple(names), tuple(splits), source, tuple(remarks))


def read_part(path: Path, part: Part) -> Iterator[tuple[str, np.ndarray]]:
    """Decode one half of the release: yield (class name, bool [20, 105, 105], True for ink), in order."""
    with archives.Archive(path) as archive:
        for name, members in index(archive, part).items():
            yield name, np.stack([_decode(archive, member) for member in members])


def shrink(drawings: np.ndarray) -> np.ndarray:
    """Resample by area: bool [n, 105, 105] -> uint8 [n, 28, 28, 1], 255 for a pixel that is all ink.

    This is exact: a small pixel covers 15 x 15 quarters of a large one, and whole numbers up to 225 are exact in
    float32. So the bank is the same on every machine and with every version of Pillow.
    """
    narrow = (drawings.reshape(-1, 15).astype(np.float32) @ _AREA).reshape(-1, SIDE, SMALL)
    columns = np.ascontiguousarray(narrow.swapaxes(1, 2))  # [n, X, y]
    quarters = (columns.reshape(-1, 15) @ _AREA).reshape(-1, SMALL, SMALL).swapaxes(1, 2)
    return np.rint(quarters * np.float32(255 / 225)).astype(np.uint8)[..., None]


def _decode(archive: archives.Archive, member: str) -> np.ndarray:
    """Decode an image: bool [105, 105], True for ink (dark)."""
    with archive.image(member, _LARGEST, "PNG") as image:
        if image.size != (SIDE, SIDE):
            found = "{} x {} pixels instead of {} x {}".format(*image.size, SIDE, SIDE)
            raise DataError(f"{archive.path / member}: has {found}; download the data again")
        return np.asarray(image.convert("L")) < 128
