"""Pictures in a zip or in a folder, read in the same way, safely.

Nothing is ever unpacked to disk. Members of a zip whose path climbs out of its folder are refused all the same: such
a file was not made by anyone who meant well.
"""

import hashlib
import json
import os
import re
import stat
import zipfile
from collections import Counter
from pathlib import Path

from tfmeta.errors import DataError

_AGAIN = "delete it and fetch it again"


class Pictures:
    """Files below one root, by their path from there. Use as a context manager."""

    path: Path
    members: list[str]  # sorted, with forward slashes; folders and hidden files are left out

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self) -> None:
        """Let go of the files."""

    def label(self, member: str) -> str:
        """Name a member in a message."""
        return f"{self.path}/{member}"

    def read(self, member: str, largest: int) -> bytes:
        """Return a member's bytes; `DataError` where it is damaged or has more than `largest` of them."""
        raise NotImplementedError


def open_archive(path: Path) -> Pictures:
    """Open a zip or a folder; `DataError` where it is missing, damaged, hostile, or may not be read."""
    return FolderArchive(path) if _is_folder(path) else ZipArchive(path)


class ZipArchive(Pictures):
    """The files in a zip."""

    def __init__(self, path: Path):
        """Open `path` and check its list of members."""
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
                    f"{self.path}: refused, since its member {name!r} points out of its folder; "
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
        """Unpack one member into memory; zip's own checksum is verified."""
        info = self._zip.getinfo(member)
        if info.file_size > largest:
            raise DataError(_too_large(self.label(member), info.file_size))
        try:
            return self._zip.read(info)
        # encrypted, or an unknown compression, or damaged: each decompressor has faults of its own, and a name in
        # the member's head may not be UTF-8
        except Exception as error:
            raise DataError(f"{self.label(member)}: damaged ({error}); {_again(self.path)}") from error


class FolderArchive(Pictures):
    """The files below a folder."""

    def __init__(self, path: Path):
        """List the files below `path`."""
        self.path = path
        self.members = sorted(member for member, _ in _walk(path))

    def read(self, member: str, largest: int) -> bytes:
        """Read one file."""
        try:
            with (self.path / member).open("rb") as file:
                data = file.read(largest + 1)
        except OSError as error:
            raise DataError(unreadable(self.path / member, error)) from error
        if len(data) > largest:
            raise DataError(_too_large(self.label(member), (self.path / member).stat().st_size))
        return data


def identity(path: Path, suffixes: tuple[str, ...] | None = None) -> list:
    """Names, sizes and times of the files that a zip or a folder consists of, as JSON; quick, nothing is opened.

    With `suffixes` (lower case) a folder's files with others do not count.
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
    """Say in one sentence why a file or folder cannot be read and what to do."""
    reason = getattr(error, "strerror", None) or error
    return f"{path}: cannot be read ({reason}); check the path and its permissions"


def check_folder(data_dir: Path) -> None:
    """Raise `DataError` where the data folder is missing, not a folder, or may not be read."""
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
    """Tell by its first bytes that a file is HTML, which is what many failed downloads are."""
    return re.match(rb"\s*(<!doctype|<html|<\?xml|<head|<body)", start, re.IGNORECASE) is not None


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        raise DataError(unreadable(path, error)) from error


def _walk(folder: Path, prefix: str = ""):
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
    """Tell what unpackers and file managers leave behind: .DS_Store, ._0709_01.png, __MACOSX/…"""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _not_a_zip(path: Path, start: bytes, error: Exception) -> str:
    if is_web_page(start):
        return f"{path}: is a web page (HTML), not a zip; {_AGAIN} from its publisher"
    if start.startswith(b"PK"):
        return f"{path}: truncated or damaged ({error}); {_AGAIN}"
    return f"{path}: is not a zip; {_AGAIN} from its publisher"


def _again(path: Path) -> str:
    return f"delete {path.name} and fetch it again"


def _too_large(label: str, size: int) -> str:
    return f"{label}: {size} bytes are too many for a picture of this data set; fetch it again"
