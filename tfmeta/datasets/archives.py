"""Images in a zip or in a folder, read in the same way. Nothing is unpacked to disk."""

import contextlib
import hashlib
import io
import json
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from tfmeta.datasets import zips
from tfmeta.errors import DataError
from tfmeta.utils import files

# What Pillow raises for a damaged image.
UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
LARGEST = 16 << 20  # bytes of a photo; ImageNet's largest has 15 million
MOST_PIXELS = 64 << 20  # ImageNet's largest image has 20 million; a small file must not fill the memory when decoded
MOST_ENTRIES = 2_000_000  # files and folders in a folder, at any depth; ImageNet's 1000 classes have 1.3 million
_AGAIN = "delete it and download it again"


class Archive:
    """The files in the zip or below the folder `path`. Use it as a context manager.

    `members` are the files' paths from there, sorted, with forward slashes; hidden files are left out.

    Raises:
        DataError: `path` is missing or damaged, cannot be read, holds too many files, or is a malicious zip.
    """

    def __init__(self, path: Path):
        self.path = path
        self._zip = None
        if _is_folder(path):
            self.members = sorted(member for member, _ in _walk(path))
        else:
            self._zip, names = _open_zip(path)
            self.members = sorted(name for name in names if not hidden(name))

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._zip:
            self._zip.close()

    def read(self, member: str, largest: int) -> bytes:
        """Return a member's bytes, or raise `DataError` if it is damaged or has more than `largest` bytes.

        No more is read or unpacked than the member claims to have.
        """
        file = self.path / member
        try:
            size = self._zip.getinfo(member).file_size if self._zip else file.stat().st_size
            if size <= largest and not self._zip:
                return files.read(file, largest)
        except OSError as error:
            raise DataError(unreadable(file, error)) from error
        if size > largest:
            raise DataError(f"{file}: {size} bytes are too many for an image of this data set; get a smaller one")
        try:
            return zips.read(self._zip, member)  # verifies the zip's checksum
        except zips.RefusedError as error:
            raise DataError(f"{file}: {error}") from error
        except Exception as error:  # encrypted, damaged, ...: each decompressor has errors of its own
            raise DataError(f"{file}: damaged ({error}); delete {self.path.name} and download it again") from error

    @contextlib.contextmanager
    def image(self, member: str, largest: int, *formats: str) -> Iterator[Image.Image]:
        """Open a member as an image of one of Pillow's `formats`; if it does not decode, raise `DataError`."""
        data = self.read(member, largest)
        try:
            with Image.open(io.BytesIO(data), formats=formats) as image:
                if image.width * image.height > MOST_PIXELS:
                    size = f"{image.width} x {image.height}"
                    raise DataError(f"{self.path / member}: {size} pixels are too many for an image; get it again")
                yield image
        except UNDECODABLE as error:
            reason = f" ({error})"
            if isinstance(error, UnidentifiedImageError):  # its text names only an object in memory
                reason = f", since it is {'neither' if formats[1:] else 'not'} {' nor '.join(formats)}"
            raise DataError(f"{self.path / member}: does not decode{reason}; get it again") from error


def identity(path: Path, suffixes: tuple[str, ...] | None = None) -> list:
    """Return names, sizes and times of a zip or of a folder's files (with lower-case `suffixes`, if given) as JSON."""
    path = path.resolve()
    if not _is_folder(path):
        status = path.stat()
        return [str(path), status.st_size, status.st_mtime_ns]
    files = sorted(
        (member, status.st_size, status.st_mtime_ns)
        for member, status in _walk(path)
        if suffixes is None or Path(member).suffix.lower() in suffixes
    )
    return [str(path), len(files), hashlib.sha256(json.dumps(files).encode()).hexdigest()]


def changed_since(found: list, suffixes: tuple[str, ...] | None = None) -> str | None:
    """Return how a zip or folder differs from what `identity` found before, in words; None if it does not.

    What cannot be read now counts as the same: it may be readable again tomorrow.
    """
    path = Path(found[0])
    try:
        if not path.exists():
            return f"its source {path} is gone"
        return None if identity(path, suffixes) == found else f"its source {path} has changed since"
    except (DataError, OSError):
        return None


def unreadable(path: Path, error: Exception) -> str:
    """Return a sentence that says why a file or folder cannot be read and what to do."""
    return f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); check the path and its permissions"


def check_folder(data_dir: Path) -> None:
    """Raise `DataError` if the data folder is missing, is a file, or cannot be read."""
    try:
        with os.scandir(data_dir) as entries:
            next(entries, None)
    except FileNotFoundError as error:
        advice = "create it, or correct DATA_DIR (--data-dir, TFMETA_DATA)"
        raise DataError(f"{data_dir}: this data folder does not exist; {advice}") from error
    except NotADirectoryError as error:
        raise DataError(f"{data_dir}: is a file; DATA_DIR (--data-dir, TFMETA_DATA) must name a folder") from error
    except OSError as error:
        raise DataError(unreadable(data_dir, error)) from error


def is_web_page(start: bytes) -> bool:
    """Return whether a file with these first bytes is HTML, as the result of a failed download often is."""
    return re.match(rb"\s*(<!doctype|<html|<\?xml|<head|<body)", start, re.IGNORECASE) is not None


def _is_folder(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise DataError(unreadable(path, error)) from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise DataError(f"{path}: is neither a file nor a folder; remove it, or put the data there")
    return stat.S_ISDIR(mode)


def _open_zip(path: Path) -> tuple[zipfile.ZipFile, list[str]]:
    """Return a zip, and the names of its files."""
    try:
        with path.open("rb") as file:
            start = file.read(512)
        opened = zips.open_zip(path)
        return opened, zips.check_members(opened.infolist())
    except zips.RefusedError as error:
        raise DataError(f"{path}: refused, since {error}") from error
    except zipfile.BadZipFile as error:
        fault = f"truncated or damaged ({error})" if start.startswith(b"PK") else "is not a zip"
        fault = "is a web page (HTML), not a zip" if is_web_page(start) else fault
        raise DataError(f"{path}: {fault}; {_AGAIN} from its publisher") from error
    except (OSError, NotImplementedError, ValueError) as error:
        raise DataError(unreadable(path, error)) from error


def _walk(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (path from the root, stat) of the files below a folder; symbolic links to folders are not followed."""
    folders, entries_seen = [(root, "")], 0
    while folders:  # no recursion: folders may be deeper than Python's stack
        folder, prefix = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    entries_seen += 1
                    if entries_seen > MOST_ENTRIES:
                        found = f"has more than {MOST_ENTRIES} files and folders in it, and no more are looked at"
                        raise DataError(f"{root}: {found}; put the images into a folder without the other files")
                    if hidden(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((folder / entry.name, f"{prefix}{entry.name}/"))
                    elif stat.S_ISREG((status := entry.stat()).st_mode):
                        yield prefix + entry.name, status
        except OSError as error:
            raise DataError(unreadable(Path(error.filename or folder), error)) from error


def hidden(name: str) -> bool:
    """Return whether unpackers or file managers left this file behind: .DS_Store, ._0709_01.png, __MACOSX/..."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))
