"""Read a zip that a stranger may have made: neither its list of files nor a file in it can fill the memory."""

import itertools
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from tfmeta.utils import files

MOST_FILES = 600_000  # ten times mini-ImageNet's
LARGEST_DIRECTORY = 128 << 20  # bytes of the list of files; mini-ImageNet's has 6 million
_BLOCK = 1 << 20
_ENTRY = b"PK\1\2"  # starts each entry of the list
_LOCAL_HEADER = 30  # bytes that at least precede a file's data
# What Python calls the fields of a zip's end record. It is private, but only so does it say what `ZipFile` will do.
_SIGNATURE, _COUNT, _SIZE, _LOCATION = (
    zipfile._ECD_SIGNATURE, zipfile._ECD_ENTRIES_TOTAL, zipfile._ECD_SIZE, zipfile._ECD_LOCATION
)  # fmt: skip


class RefusedError(Exception):
    """A zip is too large or malicious; the text says why and what to do, and starts after the zip's name."""


def check_directory(file: BinaryIO) -> None:
    """Check how many files a zip lists, before `zipfile.ZipFile` makes an object of each.

    The number that the end of the zip claims may be false, so the entries are counted as well.

    Args:
        file: The zip, opened for reading; its position changes.

    Raises:
        RefusedError: it lists too many files, or the list is too long.
        zipfile.BadZipFile: it is damaged.
    """
    end = zipfile._EndRecData(file)
    if not end:
        return  # no zip at all: `ZipFile` says so
    if end[_COUNT] > MOST_FILES:
        raise _too_many(end[_COUNT])
    if end[_SIZE] > LARGEST_DIRECTORY:
        found = f"its list of files has {end[_SIZE]} bytes, and more than {LARGEST_DIRECTORY >> 20} MB are not read"
        raise RefusedError(f"{found}; get the file from its publisher")
    zip64 = end[_SIGNATURE] == zipfile.stringEndArchive64
    extra = zipfile.sizeEndCentDir64 + zipfile.sizeEndCentDir64Locator if zip64 else 0
    counted = _count(file, end[_LOCATION] - extra - end[_SIZE], end[_SIZE])
    if counted > MOST_FILES:
        raise _too_many(counted)


def _too_many(count: int) -> RefusedError:
    return RefusedError(f"it lists {count} files, and more than {MOST_FILES} are not read; unpack what you need of it")


def _count(file: BinaryIO, start: int, size: int) -> int:
    """Return how often `_ENTRY` occurs in a part of a file, which is at least its number of entries."""
    if start < 0:
        return 0  # damaged: `ZipFile` says so
    file.seek(start)
    count, kept = 0, b""
    while size > 0 and (block := file.read(min(_BLOCK, size))):
        size -= len(block)
        count += (kept + block).count(_ENTRY)
        kept = (kept + block)[-len(_ENTRY) + 1 :]  # too short for an entry that was counted
    return count


def check_members(members: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Return the names of a zip's files, without folders and files that have no name.

    Raises:
        RefusedError: a name leads out of the zip's folder or is there twice, or two files share bytes of the zip, by
            which a small zip can hold endless data.
    """
    names = [one.filename for one in members if one.filename and not one.filename.endswith("/")]  # damage: empty names
    for name, count in Counter(names).items():
        if name.startswith("/") or "\\" in name or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
            advice = "get the file from its publisher"
            raise RefusedError(f"its member {name!r} leads out of its folder; {advice}")
        if count > 1:
            raise RefusedError(f"it holds the file {name!r} more than once; delete it and download it again")
    ordered = sorted(members, key=lambda one: one.header_offset)
    for one, following in itertools.pairwise(ordered):
        if one.header_offset + _LOCAL_HEADER + one.compress_size > following.header_offset:
            pair = f"{one.filename!r} and {following.filename!r}"
            raise RefusedError(f"its members {pair} overlap; get the file from its publisher")
    return names


def read(archive: zipfile.ZipFile, member: str) -> bytes:
    """Return the bytes of a file of a zip. No more are unpacked than it claims to have.

    Raises:
        Exception: it is damaged, encrypted, not what it claims, or packed in a way other than deflate; the decompressor
            and `zipfile` have errors of their own.
    """
    info = archive.getinfo(member)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile unpacks these in one go, whatever size is asked for
        packing = zipfile.compressor_names.get(info.compress_type, info.compress_type)
        raise RefusedError(f"packed by {packing}, and only deflate is read: pack it again")
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)  # the one more makes `zipfile` verify the checksum of an empty file, too
    if len(data) != info.file_size:
        raise zipfile.BadZipFile(f"it claims {info.file_size} bytes and holds {len(data)}")
    return data


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip after `check_directory`.

    Raises:
        RefusedError, zipfile.BadZipFile, OSError, NotImplementedError, ValueError: it cannot be used.
    """
    with files.opened(path) as file:
        check_directory(file)
    return zipfile.ZipFile(path)
