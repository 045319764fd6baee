"""Files that carry a digest of their own content in their name, so that damage is noticed before they are used.

A sealed file is called `<stem>-<20 hexadecimal digits><suffix>`. The stem says what the file should hold (it is the
name of a recipe), and the digits, its *seal*, say what was written. The digest is a sha256 of the sha256 of blocks,
which several threads take at once.
"""

import contextlib
import hashlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tfmeta.store import atomic, last_use
from tfmeta.utils import threads

BLOCK = 16 << 20  # bytes that one thread hashes at a time
_PIECE = 1 << 20  # bytes that it holds in memory
_SETTLED = 100_000_000  # ns after which another change gets another time stamp, however coarse the system's clock is
_DIGITS = 20
_SEAL = re.compile(rf".*-([0-9a-f]{{{_DIGITS}}})")

log = logging.getLogger(__name__)


class Stamp(NamedTuple):
    """What tells without reading a file whether it may have changed. The change time is one that nobody can set."""

    size: int  # bytes
    modified: int  # ns
    changed: int  # ns
    inode: int
    device: int


_proven: dict[Path, Stamp] = {}  # the files that this process found intact, as they were then
_named: set[tuple[Path, Stamp]] = set()  # the damaged files that a warning has named


def write(folder: Path | str, stem: str, suffix: str, buffers: Sequence) -> Path:
    """Write a sealed file unless it is there; return its path.

    A damaged file of that name is written again, and a warning names it.

    Args:
        folder: Folder of the file; it is made if it is missing.
        stem: The beginning of the name.
        suffix: The end of the name, such as ".u8".
        buffers: The content: contiguous buffers (bytes, numpy arrays), one after the other.

    Raises:
        StorageError: the disk refuses.
    """
    path = Path(folder) / f"{stem}-{blocks_digest(buffers)[:_DIGITS]}{suffix}"
    if path.exists():
        last_use.note(path)  # before its stamp is taken, in which this shows
        if intact(path):
            return path
        _warn(path)
    with atomic.replacing(path) as file:
        for view in _views(buffers):
            file.write(view)
    return path


def replace(folder: Path | str, stem: str, suffix: str, buffers: Sequence) -> Path:
    """Write a sealed file as `write` does, and remove other files of its stem: damaged or older ones."""
    path = write(folder, stem, suffix, buffers)
    for other in files(folder, stem, suffix):
        if other != path:
            with contextlib.suppress(OSError):  # it may not be removed; nobody will use it
                other.unlink()
    return path


def find(folder: Path | str, stem: str, suffix: str) -> Path | None:
    """Return the intact file of a stem, or None if there is none; a warning names each damaged one."""
    for path in files(folder, stem, suffix):
        last_use.note(path)
        if intact(path):
            return path
        _warn(path)
    return None


def files(folder: Path | str, stem: str, suffix: str) -> list[Path]:
    """Return the paths of all files of a stem, intact or not."""
    name = re.compile(rf"{re.escape(stem)}-[0-9a-f]{{{_DIGITS}}}{re.escape(suffix)}")
    try:
        return sorted(path for path in Path(folder).iterdir() if name.fullmatch(path.name))
    except OSError:  # there is no such folder; if it cannot be used, writing says so
        return []


def sealed(path: Path | str) -> bool:
    """Return whether a file's name ends in a seal."""
    return _SEAL.fullmatch(Path(path).stem) is not None


def intact(path: Path | str) -> bool:
    """Return whether a file holds what its seal says; False also if it is missing, cannot be read or has no seal.

    A process hashes a file once. Later it compares size, time stamps and inode alone, and hashes again if they differ.
    A file that was written just now is hashed again too: its time stamp might not show yet another change.
    """
    path = Path(path).absolute()
    seal = _SEAL.fullmatch(path.stem)
    try:
        before = stamp(path)
        if seal is None or _proven.get(path) == before:
            return seal is not None
        _proven.pop(path, None)
        if file_digest(path)[:_DIGITS] != seal[1] or stamp(path) != before:
            return False
    except OSError:
        return False
    if settled(before):
        _proven[path] = before
    return True


def stamp(path: Path | str) -> Stamp:
    """Return a file's stamp; raises `OSError` if there is none."""
    found = Path(path).stat()
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)


def settled(stamp: Stamp) -> bool:
    """Return whether a file was last changed so long ago that another change would show in its stamp."""
    return stamp.changed < time.time_ns() - _SETTLED


def blocks_digest(buffers: Sequence) -> str:
    """Return the digest (hexadecimal) of the bytes of contiguous buffers, one after the other."""
    views = _views(buffers)

    def pieces(first: int, last: int) -> Iterable[memoryview]:
        start = 0
        for view in views:
            piece = view[max(first - start, 0) : max(last - start, 0)]
            start += len(view)
            if piece:
                yield piece

    return _digest(sum(map(len, views)), pieces)


def file_digest(path: Path | str) -> str:
    """Return `blocks_digest` of a file's content, of which only a few pieces are in memory at once.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb", buffering=0) as file:

        def pieces(first: int, last: int) -> Iterable[memoryview]:
            room = memoryview(bytearray(min(_PIECE, last - first)))
            while first < last:
                count = os.preadv(file.fileno(), [room[: last - first]], first)
                if not count:  # cut off meanwhile
                    return
                yield room[:count]
                first += count

        # read and not mapped: a file that is cut off under a mapping ends the process
        return _digest(os.fstat(file.fileno()).st_size, pieces)


def _digest(size: int, pieces: Callable[[int, int], Iterable]) -> str:
    """Return the digest of `size` bytes, of which `pieces` returns those from a first to before a last."""

    def of_block(first: int) -> bytes:
        digest = hashlib.sha256()
        for piece in pieces(first, min(first + BLOCK, size)):
            digest.update(piece)  # frees the interpreter's lock meanwhile
        return digest.digest()

    blocks = range(0, size, BLOCK)
    workers = min(threads.cores(), len(blocks))
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            digests = list(pool.map(of_block, blocks))
    else:
        digests = [of_block(first) for first in blocks]
    return hashlib.sha256(b"".join(digests) + size.to_bytes(8, "little")).hexdigest()


def _views(buffers: Sequence) -> list[memoryview]:
    views = map(memoryview, buffers)
    return [view.cast("B") for view in views if view.nbytes]  # a view with a zero in its shape cannot be cast


def _warn(path: Path) -> None:
    with contextlib.suppress(OSError):  # it is gone
        if (seen := (path, stamp(path))) not in _named:
            _named.add(seen)
            log.warning("%s is damaged: its content is not what was written; making it again", path)
