"""Checkpoints: arrays, and beside them in the same file what determined them.

A checkpoint is loaded only by a run that would have computed the same: its *manifest* (the configuration up
to its stage, the data's digest, the round or chunk, the seed) is compared field by field.
"""

import hashlib
from pathlib import Path

import numpy as np

from tfmeta.errors import ResultError
from tfmeta.store import atomic, npz
from tfmeta.store.compare import differences

FORMAT = "tfmeta-checkpoint-2"
_ADVICE = "Delete it to compute it again, or use another folder"


def save(path, arrays, manifest):
    """Write ``arrays`` (name -> array) with their ``manifest`` (a JSON-ready dict) to ``path``, atomically.

    The same arrays and manifest give the same bytes. Raises ``StorageError`` where the disk refuses and
    ``ResultError`` for what cannot be stored (Python objects, NaN in the manifest).
    """
    header = {"format": FORMAT, "manifest": manifest, "sha256": _digest(arrays)}
    atomic.write_bytes(path, npz.pack(arrays, header))


def load(path, manifest):
    """Return the arrays (name -> array, shapes and dtypes as saved) of the checkpoint ``path``.

    Raises ``ResultError`` where the file is missing, truncated, not a checkpoint of tfmeta, or was made under
    another manifest; the message then names the fields that differ, with both values.
    """
    path = Path(path)
    arrays, found = npz.unpack(path, _ADVICE)
    if not isinstance(found, dict) or not isinstance(found.get("manifest"), dict):
        raise ResultError(f"{path} is not a checkpoint of tfmeta. {_ADVICE}")
    if found.get("format") != FORMAT:
        raise ResultError(
            f"{path} is a checkpoint of another version ({found.get('format')!r}, not {FORMAT!r}). {_ADVICE}"
        )
    # The zip's checksums see a damaged array, but not one that a damaged directory no longer lists.
    if found.get("sha256") != _digest(arrays):
        raise ResultError(f"{path} is damaged: its arrays are not those that were saved. {_ADVICE}")
    fields = differences(found["manifest"], manifest)
    if fields:
        raise ResultError(f"{path} is of another configuration: {'; '.join(fields)}. {_ADVICE}")
    return arrays


def _digest(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        digest.update(npz.canonical([name, array.dtype.str, array.shape]).encode())
        if not array.dtype.hasobject:  # npz.pack refuses those, with a message of its own
            digest.update(array.tobytes())
    return digest.hexdigest()
