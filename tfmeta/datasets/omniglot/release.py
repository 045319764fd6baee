"""Omniglot (Lake, Salakhutdinov and Tenenbaum, Science 350, 2015): found or fetched, checked, 28 x 28 pixels.

Taken in the forms that people have: the two zips of the public release, or the folders that come out of them.
"""

import io
import logging
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tfmeta.datasets import archives, cache, download
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.omniglot.layout import DRAWINGS, PARTS, SIDE, Digest, Part, index
from tfmeta.errors import DataError, DownloadError
from tfmeta.utils import progress

PUBLIC = "https://raw.githubusercontent.com/brendenlake/omniglot/master/python"
SMALL = 28  # pixels of a picture in the bank
_LARGEST = 64 << 10  # bytes of a PNG; the largest of the release has 522
_PLACES = ("", "omniglot", "omniglot/python", "python", "omniglot-py", "omniglot-master/python")

log = logging.getLogger(__name__)


def public_url() -> str:
    """Where the release is fetched from: the variable TFMETA_OMNIGLOT_URL, else its public home."""
    return os.environ.get("TFMETA_OMNIGLOT_URL") or PUBLIC


def locate(data_dir: Path, parts: tuple[Part, ...] = PARTS) -> dict[str, Path]:
    """Find the parts in a data folder: {split: zip or folder}, empty or half full where they are not there.

    Of a zip and a folder side by side the zip is taken. Raises `DataError` where `data_dir` cannot be read.
    """
    archives.check_folder(data_dir)
    places = [{part.split: _find(data_dir / place, part) for part in parts} for place in _PLACES]
    found = [{split: path for split, path in place.items() if path} for place in places]
    return max(found, key=len)  # the first of the fullest


def _find(folder: Path, part: Part) -> Path | None:
    candidates = (folder / f"{part.folder}.zip", folder / part.folder)
    try:
        return next((path for path in candidates if path.exists()), None)
    except OSError as error:  # the folder may not be searched
        raise DataError(archives.unreadable(folder, error)) from error


def obtain(
    data_dir: Path,
    url: str | None = None,
    patience: download.Patience = download.PATIENT,
    parts: tuple[Part, ...] = PARTS,
) -> dict[str, Path]:
    """Like `locate`, but what is missing is fetched into `<data_dir>/omniglot` first, and verified by content.

    Raises `DownloadError`, or `StorageError` where the folder cannot be written to.
    """
    found = locate(data_dir, parts)
    for part in parts:
        if part.split not in found:
            folder = next(iter(found.values())).parent if found else data_dir / "omniglot"
            target = folder / f"{part.folder}.zip"
            address = f"{(url or public_url()).rstrip('/')}/{target.name}"

            def check(path: Path, part: Part = part) -> None:
                _verify(path, part)

            download.fetch(address, target, check, patience)
            found[part.split] = target
    return found


def read_bank(found: dict[str, Path], cache_dir: Path, parts: tuple[Part, ...] = PARTS) -> ImageBank:
    """Read the located parts, or the cache of an earlier reading: images uint8 [1623, 20, 28, 28, 1].

    Raises `DataError`, which names the picture or file, where anything is missing, doubled, damaged or of another
    size. Pictures that pass but are not those of the public release give a warning, at every start.
    """
    missing = [part.folder for part in parts if part.split not in found]
    if missing:
        there = ", ".join(str(path) for path in found.values())
        raise DataError(f"{there}: found, but {' and '.join(missing)} (.zip or folder) is missing beside it")
    sources = [(part, found[part.split]) for part in parts]
    identity = {
        "size": SMALL,
        "filter": "area",
        "release": [part.digest for part in parts],
        "files": [archives.identity(path) for _, path in sources],
    }
    classes = sum(len(part.characters) for part in parts)

    def fill(images: np.ndarray) -> cache.Description:
        return _fill(images, sources)

    return cache.fetch(cache_dir, "omniglot", identity, (classes, DRAWINGS, SMALL, SMALL, 1), fill)


def _fill(images: np.ndarray, sources: list[tuple[Part, Path]]) -> cache.Description:
    names, splits, remarks = [], [], []
    with progress.bar(len(images), "reading Omniglot", "characters") as bar:
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
                    f"{path}: complete, but its pictures are NOT those of Omniglot's public release "
                    f"(content digest {digest.hexdigest()[:12]}, expected {part.digest[:12]}); "
                    "results are not comparable with others' on Omniglot"
                )
    return cache.Description(
        names=tuple(names),
        splits=tuple(splits),
        source="Omniglot from " + " and ".join(str(path) for _, path in sources),
        remarks=tuple(remarks),
    )


def read_part(path: Path, part: Part) -> Iterator[tuple[str, np.ndarray]]:
    """Decode one half of the release: (class name, bool [20, 105, 105], True where there is ink), in order."""
    with archives.open_archive(path) as pictures:
        for name, members in index(pictures, part):
            yield name, np.stack([_decode(pictures, member) for member in members])


def shrink(drawings: np.ndarray) -> np.ndarray:
    """Area resampling: bool [n, 105, 105] -> uint8 [n, 28, 28, 1], 255 where a pixel is all ink.

    Exact: a small pixel covers 15 x 15 quarters of a large one, and whole numbers up to 225 are exact in float32, so
    the bank is the same on every machine and with every version of Pillow.
    """
    narrow = (drawings.reshape(-1, 15).astype(np.float32) @ _AREA).reshape(-1, SIDE, SMALL)
    columns = np.ascontiguousarray(narrow.swapaxes(1, 2))  # [n, X, y]
    quarters = (columns.reshape(-1, 15) @ _AREA).reshape(-1, SMALL, SMALL).swapaxes(1, 2)
    return np.rint(quarters * np.float32(255 / 225)).astype(np.uint8)[..., None]


def _area_weights() -> np.ndarray:
    """How many quarters of each of 15 large pixels lie in each of 4 small ones: float32 [15, 4].

    105 to 28 is 15 to 4, so every stretch of 15 pixels becomes 4 in the same way.
    """
    low, cell = 15 * np.arange(4), 4 * np.arange(15)[:, None]
    return np.clip(np.minimum(low + 15, cell + 4) - np.maximum(low, cell), 0, None).astype(np.float32)


_AREA = _area_weights()


def _decode(pictures: archives.Pictures, member: str) -> np.ndarray:
    """Decode a picture: bool [105, 105], True where there is ink (dark)."""
    data = pictures.read(member, _LARGEST)
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.size != (SIDE, SIDE):
                width, height = image.size
                raise DataError(
                    f"{pictures.label(member)}: has {width} x {height} pixels instead of {SIDE} x {SIDE}; "
                    "fetch the data again"
                )
            return np.asarray(image.convert("L")) < 128
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise DataError(f"{pictures.label(member)}: does not decode ({error}); fetch the data again") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{pictures.label(member)}: refused ({error}); fetch the data again") from error


def _verify(path: Path, part: Part) -> None:
    """Raise `DataError` unless the pictures in a zip are those of the public release."""
    digest = Digest()
    with progress.bar(len(part.characters), f"verifying {part.folder}", "characters") as bar:
        for name, drawings in read_part(path, part):
            digest.add(name, drawings)
            bar.update(1)
    if digest.hexdigest() != part.digest:
        raise DownloadError(f"its pictures are not those of the public release ({digest.hexdigest()[:12]})")
