"""Read a folder of class folders: find the images, check that they fit together, and decode them once."""

import dataclasses
import itertools
import logging
import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, features

from tfmeta.datasets import archives, cache
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.errors import ConfigError, DataError
from tfmeta.utils.parallel import in_threads

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # only these decoders of Pillow see the files
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")
FILTER = Image.Resampling.LANCZOS  # as mini-ImageNet's
MOST_CLASSES, MOST_IMAGES = 100_000, 2_000_000  # ImageNet's training set has 1000 and 1.3 million
_GREY = ("1", "L", "LA")
_COLOUR = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_CHUNK = 50  # images that a thread decodes between two updates of the progress bar

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Reading:
    """How images are read."""

    resize: int  # side in pixels; 0 leaves them as they are
    grey: bool  # make colour images grey
    invert: bool  # make dark bright


@dataclasses.dataclass(frozen=True)
class _Class:
    """One class: its folder, and the names of its images, sorted."""

    name: str
    folder: archives.Archive
    images: list[str]


def read_bank(folder: Path, cache_dir: Path, how: Reading) -> ImageBank:
    """Read a folder of class folders, or the cache of an earlier reading: uint8 [classes, most images, H, W, C].

    Classes are in the order of their names and images in that of theirs. The bank has `counts` where classes have
    different numbers of images. Raises `ConfigError` or `DataError` if the folder, a class or an image is not what it
    must be; the message names it.
    """
    folder = _expanded(folder)
    classes = _find(folder)
    first = _decode(classes[0], classes[0].images[0], how)
    counts = tuple(len(each.images) for each in classes)
    shape = (len(classes), max(counts), *first.shape)
    identity = {
        **dataclasses.asdict(how),
        **_decoding(),
        "files": [[each.name, *archives.identity(each.folder.path, SUFFIXES)] for each in classes],
    }

    def fill(images: np.ndarray) -> cache.Description:
        _fill(images, classes, first.shape, how)
        uneven = None if min(counts) == max(counts) else counts
        names = tuple(each.name for each in classes)
        return cache.Description(names, ("",) * len(names), f"images from {folder}", counts=uneven)

    return cache.fetch(cache_dir, "image-folder", identity, shape, fill)


def outdated(identity: dict[str, Any]) -> str | None:
    """Return why a bank of this identity cannot be opened again, or None (`Dataset.outdated`)."""
    folders = {Path(path).parent for _, path, *_ in identity["files"]}
    gone = [f"its source folder {folder} is gone" for folder in sorted(folders) if not folder.exists()]
    gone += filter(None, (archives.changed_since(found, SUFFIXES) for _, *found in identity["files"]))
    return gone[0] if gone else cache.differs(identity, _decoding())


def _decoding() -> dict[str, Any]:
    """Return what decides a bank beside the files and the options."""
    decoders = [features.version(name) for name in ("libjpeg_turbo", "webp")]
    return {"filter": FILTER.name, "decoders": decoders}


def _expanded(folder: Path) -> Path:
    try:
        return folder.expanduser()
    except RuntimeError as error:  # ~name
        raise ConfigError(f"data.folder = {folder}: there is no such home folder; give the whole path") from error


def _find(folder: Path) -> list[_Class]:
    """Return the classes in a folder, sorted by name."""
    try:
        with os.scandir(folder) as entries:
            found = (entry.name for entry in entries if entry.is_dir() and not archives.hidden(entry.name))
            inside = sorted(itertools.islice(found, MOST_CLASSES + 1))
    except FileNotFoundError as error:
        raise DataError(f"data.folder = {folder}: there is no such folder; correct the path") from error
    except NotADirectoryError as error:
        advice = "name a folder with one folder of images per class"
        raise DataError(f"data.folder = {folder}: is a file; {advice}") from error
    except OSError as error:
        raise DataError(archives.unreadable(folder, error)) from error
    if not inside:
        raise DataError(f"{folder}: has no folders in it; put the images of each class into a folder named after it")
    if len(inside) > MOST_CLASSES:
        raise DataError(f"{folder}: has more than {MOST_CLASSES} folders, and each is a class; use fewer classes")
    classes: dict[str, _Class] = {}
    total = 0
    for path in (folder / name for name in inside):
        name = unicodedata.normalize("NFC", path.name).strip()  # one accented letter can be spelled in two ways
        if name in classes:
            other = classes[name].folder.path
            raise DataError(f"{path}: its class has the name of {other}, though it is spelled otherwise; rename one")
        classes[name] = _class(name, path)
        total += len(classes[name].images)
        if total > MOST_IMAGES:
            raise DataError(f"{folder}: has more than {MOST_IMAGES} images, and no more are read; use fewer classes")
    return [classes[name] for name in sorted(classes)]


def _class(name: str, path: Path) -> _Class:
    with archives.Archive(path) as archive, os.scandir(path) as entries:
        folders = sorted(entry.name for entry in entries if _is_image(entry.name) and entry.is_dir())
        deeper = [member for member in archive.members if "/" in member and _is_image(member)]
        images = [member for member in archive.members if "/" not in member and _is_image(member)]
        others = [member for member in archive.members if "/" not in member and not _is_image(member)]
    if deeper:
        raise DataError(f"{path / deeper[0]}: is too deep; put each class's images into one folder, as in {path}/1.png")
    if folders:
        raise DataError(f"{path / folders[0]}: is a folder with the name of an image; rename or remove it")
    if not images:
        raise DataError(f"{path}: this class has no images ({', '.join(SUFFIXES)}); add some or remove the folder")
    if others:
        log.info("%s: %d files are no images and are left out, such as %s", path, len(others), others[0])
    return _Class(name, archive, images)


def _is_image(member: str) -> bool:
    return member.lower().endswith(SUFFIXES)


def _fill(images: np.ndarray, classes: list[_Class], shape: tuple[int, ...], how: Reading) -> None:
    """Decode all images into the bank; each must have the shape of the first one."""
    model = classes[0].folder.path / classes[0].images[0]

    def work(row: int, first: int) -> int:
        names = classes[row].images[first : first + _CHUNK]
        for example, name in enumerate(names, first):
            image = _decode(classes[row], name, how)
            _check_alike(classes[row].folder.path / name, image.shape, model, shape)
            images[row, example] = image
        return len(names)

    jobs = [(row, first) for row in range(len(classes)) for first in range(0, len(classes[row].images), _CHUNK)]
    total = sum(len(each.images) for each in classes)
    in_threads(work, jobs, total, "decoding the image folder", "image")


def _check_alike(label: Path, found: tuple[int, ...], model: Path, wanted: tuple[int, ...]) -> None:
    if found[:2] != wanted[:2]:
        sizes = f"{found[1]} x {found[0]} pixels, but {model} has {wanted[1]} x {wanted[0]}"
        raise DataError(f"{label}: has {sizes}; scale all to one size with data.resize, such as data.resize=84")
    if found != wanted:
        kinds = ("grey", "colour") if found[2] == 1 else ("colour", "grey")
        advice = "make all grey with data.grey=true, or convert the files"
        raise DataError(f"{label}: is {kinds[0]}, but {model} is {kinds[1]}; {advice}")


def _decode(of: _Class, name: str, how: Reading) -> np.ndarray:
    """Decode an image: uint8 [H, W, 1] or [H, W, 3]; what is transparent becomes white."""
    label = of.folder.path / name
    with of.folder.image(name, archives.LARGEST, *FORMATS) as image:
        if image.mode not in (*_GREY, *_COLOUR):
            advice = "save it with 8 bits per channel"
            raise DataError(f"{label}: has pixels that are not 8 bits (mode {image.mode}); {advice}")
        mode = "L" if how.grey or image.mode in _GREY else "RGB"
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert(mode)
        if how.resize and image.size != (how.resize, how.resize):
            image = image.resize((how.resize, how.resize), FILTER)
        pixels = np.asarray(image)
    pixels = pixels[..., None] if mode == "L" else pixels
    return 255 - pixels if how.invert else pixels
