"""Checkpoints: arrays, stored in one file with what determined them.

A run loads a checkpoint only if it would have computed the same. Its *manifest* says what determined it (the
configuration up to its stage, the data's digest, plug-ins and code, the round) and is compared field by field. What it
is *about* (the commit that computed it, what else was accepted on the way) is for people.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfmeta.errors import ResultError
from tfmeta.store import atomic, last_use, npz
from tfmeta.store.compare import Difference, compare

FORMAT = "tfmeta-checkpoint-2"
_ADVICE = "Delete it to compute it again, or use another folder"


class Checkpoint(NamedTuple):
    """A loaded checkpoint: its arrays by name, what it is about, and how its manifest differs from the caller's."""

    arrays: dict[str, np.ndarray]
    about: dict[str, Any]
    difference: Difference


def save(
    path: Path | str, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any],
    about: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write arrays of any shapes by name, and a JSON-ready manifest, to a file; the same content gives the same bytes.

    Raises:
        StorageError: the disk refuses.
        ResultError: something cannot be stored (Python objects, NaN in the manifest).
    """
    header = {"format": FORMAT, "manifest": manifest, "sha256": _digest(arrays)}
    atomic.write_bytes(path, npz.pack(arrays, header | ({"about": about} if about else {})))


def load(path: Path | str, manifest: Mapping[str, Any]) -> Checkpoint:
    """Return a checkpoint; its arrays have the shapes and dtypes that were saved.

    Raises:
        ResultError: the file is missing, damaged, not a checkpoint of tfmeta, or of another configuration or other
            data; the message then names the fields that differ, with both values.
    """
    arrays, found = npz.unpack(path, _ADVICE)
    if not isinstance(found, dict) or not isinstance(found.get("manifest"), dict):
        raise ResultError(f"{path} is not a checkpoint of tfmeta. {_ADVICE}")
    if found.get("format") != FORMAT:
        version = f"another version ({found.get('format')!r})"
        raise ResultError(f"{path} is of {version}, and those are not converted. {_ADVICE}")
    # The zip's checksums show a damaged array, but not an array that a damaged directory no longer lists.
    if found.get("sha256") != _digest(arrays):
        raise ResultError(f"{path} is damaged: its arrays are not those that were saved. {_ADVICE}")
    about = found.get("about", {})
    difference = compare(found["manifest"], manifest, partly=bool(about.get("unrecorded")))
    if difference.fields and not difference.outside:
        raise ResultError(f"{path} is of another configuration: {'; '.join(difference.fields)}. {_ADVICE}")
    last_use.note(path)
    return Checkpoint(arrays, about, difference)


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(npz.canonical([name, array.dtype.str, array.shape]).encode())
        if not array.dtype.hasobject:  # `npz.pack` refuses these with a message of its own
            digest.update(array.tobytes())
    return digest.hexdigest()
