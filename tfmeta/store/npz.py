"""Arrays in a zip that `numpy.load` can read, with the same bytes for the same content; nothing is ever unpickled."""

import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfmeta.errors import ResultError
from tfmeta.store import last_use
from tfmeta.utils import files

LARGEST = 2 << 30  # bytes of a file; weights of Conv4 have half a million
_MOST_MEMBERS = 100_000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first day; real times would make equal content differ
# What `numpy.load` raises for damage: unknown compression, a member that claims to be encrypted, wrong headers.
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, MemoryError, NotImplementedError, OverflowError,
            RuntimeError, SyntaxError, TypeError, ValueError, tokenize.TokenError)  # fmt: skip


def pack(arrays: Mapping[str, np.ndarray], manifest: Any = None) -> bytes:
    """Return the bytes of an uncompressed npz file: arrays by name, sorted, after the JSON-ready manifest if any.

    Raises:
        ResultError: an array holds Python objects, which only a pickle could store.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        if manifest is not None:
            archive.writestr(zipfile.ZipInfo("manifest.json", _EPOCH), canonical(manifest))
        for name in sorted(arrays):
            array = np.asanyarray(arrays[name])
            if array.dtype.hasobject:
                raise ResultError(f"array {name!r} holds Python objects ({array.dtype}); store numbers or text")
            content = io.BytesIO()
            np.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), content.getbuffer())
    return buffer.getvalue()


def unpack(path: Path | str, advice: str) -> tuple[dict[str, np.ndarray], Any]:
    """Return the arrays of an npz file by name, and its manifest or None.

    Raises:
        ResultError: the file is missing, damaged, no npz file, or holds pickled objects; the message ends in `advice`.
    """
    try:
        data = files.read(path, LARGEST)
    except FileNotFoundError:
        raise ResultError(f"{path} is missing. {advice}") from None
    except OSError as error:
        raise ResultError(f"{path} cannot be read ({error.strerror}). {advice}") from error
    if data[:2] != b"PK":  # `numpy.load` would take it for an array or a pickle
        raise ResultError(f"{path} is not an npz file of tfmeta. {advice}")
    try:
        _check_size(data)
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
            manifest = json.loads(arrays.pop("manifest.json", "null"))
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("a member is not an array")
    except _DAMAGED as error:
        raise ResultError(f"{path} is truncated or damaged ({error or type(error).__name__}). {advice}") from error
    return arrays, manifest


def manifest_of(path: Path | str) -> Any:
    """Return the manifest of an npz file, or None, without reading its arrays or counting as a use.

    Raises:
        ResultError: the file is damaged or no npz file.
    """
    try:
        with last_use.open_unnoted(path) as file, zipfile.ZipFile(file) as archive:
            return json.loads(archive.read("manifest.json")) if "manifest.json" in archive.namelist() else None
    except (OSError, *_DAMAGED) as error:
        raise ResultError(f"{path} is truncated or damaged ({error or type(error).__name__})") from error


def exists(path: Path) -> bool:
    """Return whether a stored file is there; raise `ResultError` if its folder may not be looked into."""
    try:
        return path.exists()
    except OSError as error:
        raise ResultError(f"{path} cannot be read ({error.strerror}): check the permissions of its folder") from error


def _check_size(data: bytes) -> None:
    """Raise `ValueError` if a zip's members take more memory than the zip has bytes; those of `pack` never do."""
    if data.count(zipfile.stringCentralDir) > _MOST_MEMBERS:
        raise ValueError(f"it lists more than {_MOST_MEMBERS} arrays")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
    if any(one.compress_type != zipfile.ZIP_STORED for one in members) or sum(m.file_size for m in members) > len(data):
        raise ValueError("its arrays are packed, or claim more bytes than it has")


def canonical(document: Any) -> str:
    """Return the one JSON text of a document: sorted names, no spaces, numpy's scalars as numbers.

    Raises:
        ResultError: the document holds what JSON cannot (NaN, infinity, arrays, objects).
    """
    try:
        return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_scalar)
    except (TypeError, ValueError) as error:
        raise ResultError(f"this cannot be stored as JSON: {error}") from error


def _scalar(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")
