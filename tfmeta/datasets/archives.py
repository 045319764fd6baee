"""Images in a zip or in a folder, read in the same way.

Nothing is unpacked to disk. A zip with a member whose path leads out of its folder is refused all the same: whoever
made it meant harm.
"""

import hashlib
import json
import os
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from tfmeta.errors import DataError

# What Pillow raises for a damaged image.
UNDECODABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
_AGAIN = "delete it and download it again"


class Archive:
    """Files below one root, by their path from there. Use it as a context manager.

    Attributes:
        path: The zip or the folder.
        members: Paths of the files, sorted, with forward slashes; without folders and hidden files.
    """

    path: Path
    members: list[str]

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self) -> None:
        """Close the archive."""

    def label(self, member: str) -> str:
        """Return a member's name for messages."""
        return f"{self.path}/{member}"

    def read(self, member: str, largest: int) -> bytes:
        """Return a member's bytes.

        Raises:
            DataError: the member is damaged, cannot be read, or has more than `largest` bytes.
        """
        raise NotImplementedError

    def _check_size(self, member: str, size: int, largest: int) -> None:
        if size > largest:
            raise DataError(
                f"{self.label(member)}: {size} bytes are too many for an image of this data set; download it again"
            )


def open_archive(path: Path) -> Archive:
    """Open a zip or a folder.

    Raises:
        DataError: it is missing, damaged, malicious, or cannot be read.
    """
    return FolderArchive(path) if _is_folder(path) else ZipArchive(path)


class ZipArchive(Archive):
    """The files in a zip."""

    def __init__(self, path: Path):
        self.path = path
        try:
            with path.open("rb") as file:
                start = file.read(512)
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise DataError(_not_a_zip(path, start, error)) from error
        except (OSError, NotImplementedError, ValueError) as error:
            raise DataError(unreadable(path, error)) from error
        try:
            self.members = self._checked()
        except DataError:
            self.close()
            raise

    def _checked(self) -> list[str]:
        names = [name for name in self._zip.namelist() if name and not name.endswith("/")]  # damage makes empty ones
        for name in names:
            if name.startswith("/") or "\\" in name or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
                raise DataError(
                    f"{self.path}: refused, since its member {name!r} leads out of its folder; "
                    "get the file from its publisher"
                )
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise DataError(f"{self.label(twice[0])}: the zip holds this file more than once; {_AGAIN}")
        return sorted(name for name in names if not _hidden(name))

    def close(self) -> None:
        """Close the zip."""
        self._zip.close()

    def read(self, member: str, largest: int) -> bytes:
        """Unpack one member into memory and verify its checksum (see `Archive.read`)."""
        self._check_size(member, self._zip.getinfo(member).file_size, largest)
        try:
            return self._zip.read(member)
        # encrypted, of an unknown compression, or damaged: each decompressor has errors of its own, and the name in
        # the member's header may not be UTF-8
        except Exception as error:
            raise DataError(
                f"{self.label(member)}: damaged ({error}); delete {self.path.name} and download it again"
            ) from error


class FolderArchive(Archive):
    """The files below a folder."""

    def __init__(self, path: Path):
        self.path = path
        self.members = sorted(member for member, _ in _walk(path))

    def read(self, member: str, largest: int) -> bytes:
        """Read one file (see `Archive.read`)."""
        try:
            with (self.path / member).open("rb") as file:
                data = file.read(largest + 1)
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise DataError(unreadable(self.path / member, error)) from error
        self._check_size(member, max(size, len(data)), largest)
        return data


def identity(path: Path, suffixes: tuple[str, ...] | None = None) -> list:
    """Return what tells a zip's or a folder's content apart, as JSON: names, sizes and times, without opening a file.

    Args:
        path: A zip or a folder.
        suffixes: In lower case; files of a folder with other suffixes do not count. None counts all.
    """
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


def unreadable(path: Path, error: Exception) -> str:
    """Return a sentence that says why a file or folder cannot be read and what to do."""
    reason = getattr(error, "strerror", None) or error
    return f"{path}: cannot be read ({reason}); check the path and its permissions"


def check_folder(data_dir: Path) -> None:
    """Raise `DataError` if the data folder is missing, is a file, or cannot be read."""
    try:
        with os.scandir(data_dir) as entries:
            next(entries, None)
    except FileNotFoundError as error:
        raise DataError(
            f"{data_dir}: this data folder does not exist; create it, or correct DATA_DIR (TFMETA_DATA)"
        ) from error
    except NotADirectoryError as error:
        raise DataError(f"{data_dir}: is a file; DATA_DIR (TFMETA_DATA) must name a folder") from error
    except OSError as error:
        raise DataError(unreadable(data_dir, error)) from error


def is_web_page(start: bytes) -> bool:
    """Return whether a file with these first bytes is HTML, as the result of a failed download often is."""
    return re.match(rb"\s*(<!doctype|<html|<\?xml|<head|<body)", start, re.IGNORECASE) is not None


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        raise DataError(unreadable(path, error)) from error


def _walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Yield (path from the root, stat) of the files below a folder; symbolic links to folders are not followed."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                member = prefix + entry.name
                if _hidden(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(folder / entry.name, member + "/")
                elif stat.S_ISREG((status := entry.stat()).st_mode):
                    yield member, status
    except OSError as error:
        raise DataError(unreadable(Path(error.filename or folder), error)) from error


def _hidden(name: str) -> bool:
    """Return whether unpackers or file managers left this file behind: .DS_Store, ._0709_01.png, __MACOSX/..."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _not_a_zip(path: Path, start: bytes, error: Exception) -> str:
    if is_web_page(start):
        return f"{path}: is a web page (HTML), not a zip; {_AGAIN} from its publisher"
    if start.startswith(b"PK"):
        return f"{path}: truncated or damaged ({error}); {_AGAIN}"
    return f"{path}: is not a zip; {_AGAIN} from its publisher"
