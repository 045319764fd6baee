"""Image banks on disk: made once, then mapped into memory by every process that needs them.

A bank is a .npy file with a .json file beside it. Both are named by a hash of what decides the content. The .json is
written last, so either both files are whole or the bank counts as missing. Its `seal` is a digest of everything else in
it and of the .npy file, which every process checks before it uses the bank.
"""

import contextlib
import contextvars
import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import filelock
import numpy as np

from tfmeta.datasets.image_bank import ImageBank, digest_of
from tfmeta.errors import ResultError, StorageError
from tfmeta.store import atomic, last_use, npz, sealed
from tfmeta.utils import files

FORMAT = 1
LARGEST_JSON = 64 << 20  # bytes; Omniglot's 1623 names make 75,000

_proven: dict[Path, tuple[sealed.Stamp, sealed.Stamp]] = {}  # banks that this process found intact, as they were then

# The code and the options of the data set from outside that is being opened, which decide what its own `fill` writes.
_maker: contextvars.ContextVar[dict | None] = contextvars.ContextVar("maker", default=None)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Description:
    """What the maker of a bank says about its images. The field names are those of the .json file."""

    names: tuple[str, ...]  # one per class
    splits: tuple[str, ...]  # one per class
    source: str  # one line for people
    remarks: tuple[str, ...] = ()  # warnings, repeated whenever the bank is opened
    counts: tuple[int, ...] | None = None  # images of each class, where not all have as many


@contextlib.contextmanager
def made_by(maker: dict | None) -> Iterator[None]:
    """Within it, banks are told apart by their maker too: JSON of a data set's code and options.

    That does not concern banks that the package itself fills.
    """
    token = _maker.set(maker)
    try:
        yield
    finally:
        _maker.reset(token)


def fetch(
    cache_dir: Path, dataset: str, identity: dict, shape: tuple[int, ...], fill: Callable[[np.ndarray], Description]
) -> ImageBank:
    """Return a bank from the cache, or make it and keep it there.

    Processes that need the same bank at once wait for the one that makes it. A damaged file is made again.

    Args:
        cache_dir: The cache folder.
        dataset: The data set's name.
        identity: JSON that decides the bank's content: the source files' names, sizes and times; fonts and settings.
            Code and options of a data set from outside need not be in it.
        shape: [class, example, H, W, C].
        fill: Writes the images into zeros, uint8 of `shape`, and describes them. These are a mapped file that has its
            space on the disk already, so a bank may be larger than memory. If `fill` raises, nothing is kept.

    Raises:
        StorageError: the folder cannot be written to.
    """
    maker = None if str(getattr(fill, "__module__", "")).startswith("tfmeta.") else _maker.get()
    identity = {**identity, "maker": maker} if maker else identity
    identity = json.loads(json.dumps({"format": FORMAT, "dataset": dataset, "shape": shape, **identity}))
    path = Path(cache_dir) / "banks" / f"{name_of(identity)}.npy"
    bank = _load(path, identity)
    if bank is None:
        with _locked(path):
            bank = _load(path, identity, silent=True)  # another process may have made it meanwhile
            if bank is None:
                _make(path, identity, fill)
                bank = _load(path, identity)
    if bank is None:
        raise StorageError(f"{path}: cannot be read back; set TFMETA_CACHE to a folder on a working disk")
    return bank


def name_of(identity: Mapping[str, Any]) -> str:
    """Return the name of a bank's files, without the suffix, from the whole identity that its .json file has."""
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return f"{identity['dataset']}-{digest[:16]}"


def differs(identity: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return which entries of an identity are not what `now` has, in words; None if there are none."""
    names = [name for name, value in json.loads(json.dumps(now)).items() if identity.get(name) != value]
    return f"what decided it has changed since: {', '.join(names)}" if names else None


def _make(path: Path, identity: dict, fill: Callable[[np.ndarray], Description]) -> None:
    sidecar = path.with_suffix(".json")
    try:
        with atomic.replacing(path) as file:
            images = _allocate(file, identity["shape"])
            description = fill(images)
            images.flush()
            # takes seconds, so before the file gets its name
            digest = digest_of(images, description.names, description.counts)
        size = path.stat().st_size
        stored = {**asdict(description), "digest": digest, "bytes": size, "identity": identity}
        atomic.write_json(sidecar, {**stored, "seal": _seal(stored, path)})
    except BaseException:
        with contextlib.suppress(OSError):
            if not sidecar.exists():  # full disk or Ctrl-C: without its .json nobody would ever open the bank
                path.unlink(missing_ok=True)
        raise


def _allocate(file: BinaryIO, shape: list[int]) -> np.ndarray:
    """Write a .npy header, allocate disk space for uint8 of `shape` and map it into memory."""
    header = {"descr": "|u1", "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_2_0(file, header)
    file.flush()
    start = file.tell()
    # all at once: a process dies without a message if the disk fills up under a mapping
    os.posix_fallocate(file.fileno(), 0, start + math.prod(shape))
    return np.memmap(file, np.uint8, "r+", start, tuple(shape))


def _seal(stored: dict, path: Path) -> str:
    """Return the digest of a side file's content, without its seal, and of the array's file."""
    text = npz.canonical([{name: value for name, value in stored.items() if name != "seal"}, sealed.file_digest(path)])
    return hashlib.sha256(text.encode()).hexdigest()


def _load(path: Path, identity: dict, silent: bool = False) -> ImageBank | None:
    """Open a cached bank; return None if there is none, or one to be made again, which is logged unless `silent`."""
    sidecar = path.with_suffix(".json")
    try:
        if not (sidecar.exists() and path.exists()):
            return None
    except OSError as error:  # no permission to search the folder, or a name that is too long
        raise _unusable(path.parent, error) from error
    last_use.note(path)  # before its stamp is taken, in which this shows
    try:
        before = _stamps(path)
        stored = json.loads(files.read(sidecar, LARGEST_JSON))
        if (stored["identity"], before[1].size) != (identity, stored["bytes"]):
            raise ValueError("its size or its .json is another bank's")
        if "seal" not in stored:
            words = "the cached bank %s is of before banks were sealed: it cannot be checked; making it again"
            log.log(logging.DEBUG if silent else logging.INFO, words, path)
            return None
        # a process hashes a bank once, and again if a file changed; first, since numpy does not expect a damaged header
        if _proven.get(path) != before and stored["seal"] != _seal(stored, path):
            raise ValueError("its content is not what was written")
        images = np.load(path, mmap_mode="r")
        if (images.dtype, list(images.shape), _stamps(path)) != (np.uint8, identity["shape"], before):
            raise ValueError("its header is another bank's, or it changed while it was read")
        names, splits = tuple(stored["names"]), tuple(stored["splits"])
        counts = None if stored.get("counts") is None else tuple(stored["counts"])
        bank = ImageBank(identity["dataset"], images, names, stored["digest"], stored["source"], splits, counts)
        remarks = stored["remarks"]
    except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError, ResultError) as error:
        words = "the cached bank %s is damaged (%s: %s); making it again"
        log.log(logging.DEBUG if silent else logging.WARNING, words, path, type(error).__name__, error)
        return None
    if all(map(sealed.settled, before)):
        _proven[path] = before
    for remark in remarks:
        log.warning("%s", remark)
    return bank


def _stamps(path: Path) -> tuple[sealed.Stamp, sealed.Stamp]:
    """Return the stamps of a bank's side file and array."""
    return sealed.stamp(path.with_suffix(".json")), sealed.stamp(path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a bank's lock, waiting for whoever holds it. The system frees the lock of a killed process."""
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
    advice = "set TFMETA_CACHE to a folder that can be"
    return StorageError(f"{folder}: the cache cannot be written to ({error.strerror}); {advice}")
