"""Arrays in a zip, readable by ``numpy.load``, with the same bytes for the same content.

Nothing is unpickled. What cannot be read raises ``ResultError``: a damaged file shows by the zip's directory
and checksums, and every array's size is compared with what its header promises before any memory is taken.
"""

import io
import json
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tfmeta.errors import ResultError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first day: file times would make equal content differ
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    KeyError,
    NotImplementedError,  # a compression method or zip version that Python does not know
    RuntimeError,  # a member that claims to be encrypted
    ValueError,  # numpy's headers; covers UnicodeDecodeError and JSONDecodeError
    OverflowError,
    SyntaxError,
    TypeError,
)


def pack(arrays, manifest=None):
    """Return the bytes of an uncompressed npz of ``arrays`` (name -> array, any shapes) in sorted order.

    ``manifest`` (JSON-ready) becomes the member ``manifest.json``, in front. Raises ``ResultError`` for an
    array of Python objects, which only a pickle could hold.
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


def unpack(path, advice):
    """Return (arrays, manifest) of an npz file; the manifest is None where the file has none.

    Raises ``ResultError``, which names the file and ends with ``advice``, where it is missing, truncated or
    damaged, no npz at all, or holds pickled objects.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ResultError(f"{path} is missing. {advice}") from None
    except OSError as error:
        raise ResultError(f"{path} cannot be read ({error.strerror}). {advice}") from error
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _members(archive)
    except _DAMAGED as error:
        kind = "is truncated or damaged" if data[:2] == b"PK" else "is not an npz file of tfmeta"
        raise ResultError(f"{path} {kind} ({error or type(error).__name__}). {advice}") from error


def canonical(document):
    """Return the one JSON text of a document: sorted keys, no spaces, numpy's scalars as numbers.

    Raises ``ResultError`` for what JSON cannot hold (NaN, infinity, arrays, objects).
    """
    try:
        return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_scalar)
    except (TypeError, ValueError) as error:
        raise ResultError(f"this cannot be stored as JSON: {error}") from error


def _members(archive):
    arrays, manifest = {}, None
    for member in archive.infolist():
        content = archive.read(member)  # checks the CRC
        if member.filename == "manifest.json":
            manifest = json.loads(content)
        elif member.filename.endswith(".npy"):
            arrays[member.filename.removesuffix(".npy")] = _array(member.filename, content)
        else:
            raise ValueError(f"unexpected member {member.filename!r}")
    return arrays, manifest


def _array(name, content):
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError(f"{name}: npy format {version}")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.hasobject:
        raise ValueError(f"{name} holds pickled Python objects, which are never loaded")
    if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise ValueError(f"{name}: {len(content) - stream.tell()} bytes for shape {shape} of {dtype}")
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _scalar(value):
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")
