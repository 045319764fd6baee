"""Banks on disk: made once, then mapped into memory by every process that needs them.

A bank is a .npy file and a .json beside it, named by a key of what determines the content (the source files' names,
sizes and times; fonts and settings). The .json comes last, so a pair is whole or it is not there.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import filelock
import numpy as np

from tfmeta.datasets.image_bank import ImageBank, digest_of
from tfmeta.errors import StorageError
from tfmeta.store import atomic

FORMAT = 1
# Reading 64 MB through a digest takes a fraction of a second: such a bank is proven at every start. Of larger
# ones the header and the size are.
PROVEN_BYTES = 64 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Description:
    """What the maker of a bank says about the pictures that it filled in."""

    names: tuple[str, ...]
    splits: tuple[str, ...]
    source: str
    remarks: tuple[str, ...] = ()  # warnings that are repeated whenever the bank is opened


class _DamagedError(Exception):
    pass


def fetch(
    cache_dir: Path,
    dataset: str,
    identity: dict,
    shape: tuple[int, ...],
    fill: Callable[[np.ndarray], Description],
) -> ImageBank:
    """Return the bank that `identity` (JSON) determines, from the cache, or made by `fill` and then kept there.

    `fill` gets zeros, uint8 of `shape`, to write the pictures into; what it raises is passed on and nothing is kept.
    They are a mapped file that has its place on the disk already, so a bank may be larger than memory.
    Processes that want the same bank at once wait for the one that makes it. A damaged file is made anew. Raises
    `StorageError` where the folder cannot be written to.
    """
    identity = json.loads(json.dumps({"format": FORMAT, "dataset": dataset, "shape": shape, **identity}))
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    path = Path(cache_dir) / "banks" / f"{dataset}-{key}.npy"
    bank = _load(path, identity)
    if bank is None:
        with _alone(path):
            bank = _load(path, identity)  # made by another process in the meantime?
            if bank is None:
                _make(path, identity, fill)
                bank = _load(path, identity)
    if bank is None:
        raise StorageError(f"{path}: cannot be read back; set TFMETA_CACHE to a folder on a working disk")
    return bank


def _make(path: Path, identity: dict, fill: Callable[[np.ndarray], Description]) -> None:
    sidecar = path.with_suffix(".json")
    try:
        with atomic.replacing(path) as file:
            images = _room(file, identity["shape"])
            description = fill(images)
            images.flush()
            digest = digest_of(images, description.names)  # takes seconds, so before the file has its name
        size = path.stat().st_size
        atomic.write_json(sidecar, {**asdict(description), "digest": digest, "bytes": size, "identity": identity})
    except BaseException:
        with contextlib.suppress(OSError):
            if not sidecar.exists():  # a full disk, or Ctrl-C: pictures that nobody would ever open
                path.unlink(missing_ok=True)
        raise


def _room(file: BinaryIO, shape: list[int]) -> np.ndarray:
    """Make room for uint8 of `shape` behind a .npy header and map it: pages of the file, not of this process.

    All of it is taken from the disk at once: where a disk fills up under a mapping, the process dies without a word.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_2_0(file, header)
    file.flush()
    start = file.tell()
    os.posix_fallocate(file.fileno(), 0, start + math.prod(shape))
    return np.memmap(file, np.uint8, "r+", start, tuple(shape))


def _load(path: Path, identity: dict) -> ImageBank | None:
    """Open a cached bank; None where there is none, or a damaged one, which is said."""
    sidecar = path.with_suffix(".json")
    try:
        if not (sidecar.exists() and path.exists()):
            return None
    except OSError as error:  # a folder that may not be searched, or no name for one
        raise _unusable(path.parent, error) from error
    try:
        return _open(path, json.loads(sidecar.read_text()), identity)
    except _DamagedError as error:
        reason = str(error)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
    log.warning("the cached bank %s is damaged (%s); it is made anew", path, reason)
    return None


def _open(path: Path, sidecar: dict, identity: dict) -> ImageBank:
    if sidecar["identity"] != identity:
        raise _DamagedError("its .json belongs to another bank")
    if path.stat().st_size != sidecar["bytes"]:
        raise _DamagedError(f"{path.stat().st_size} bytes instead of {sidecar['bytes']}")
    images = np.load(path, mmap_mode="r")
    if images.dtype != np.uint8 or list(images.shape) != identity["shape"]:
        raise _DamagedError(f"holds {images.dtype} {list(images.shape)}")
    names = tuple(sidecar["names"])
    if images.nbytes <= PROVEN_BYTES and digest_of(images, names) != sidecar["digest"]:
        raise _DamagedError("its content is not what was written")
    bank = ImageBank(
        dataset=identity["dataset"],
        images=images,
        names=names,
        digest=sidecar["digest"],
        source=sidecar["source"],
        splits=tuple(sidecar["splits"]),
    )
    for remark in sidecar["remarks"]:
        log.warning("%s", remark)
    return bank


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of one bank, waiting for whoever has it; the lock of a killed process is free."""
    lock = filelock.FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            log.info("another process is making %s; waiting for it", path)
            lock.acquire()
    except OSError as error:
        raise _unusable(path.parent, error) from error
    try:
        atomic.sweep(path.parent)
        yield
    finally:
        lock.release()


def _unusable(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{folder}: the cache cannot be written to ({error.strerror}); set TFMETA_CACHE to a folder that can"
    )
