"""Results: one JSON document an experiment and case, and the per-task values beside it.

What is written and what is read keeps the contract of ``contract.py``.
"""

import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np

from tfmeta.errors import ConfigError, ResultError
from tfmeta.store import atomic, npz
from tfmeta.store.compare import differences
from tfmeta.store.contract import AGAIN, interval, key, validate

__all__ = ["FORMAT", "curve", "key", "path_of", "read", "read_values", "run_folder", "write"]

FORMAT = "tfmeta-result-2"


def run_folder(root, dataset, profile, tag=None):
    """Return ``<root>/<dataset>-<profile>[-<tag>]``, where the results of a run live; it is not made here.

    Raises ``ConfigError`` for a word that does not belong in a folder's name.
    """
    words = [dataset, profile] if tag is None else [dataset, profile, tag]
    for word in words:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.=+-]{0,79}", word):
            raise ConfigError(f"{word!r} cannot be part of a folder's name: use letters, digits and . _ - = +")
    return Path(root) / "-".join(words)


def curve(*, user, head, metric, split, x, x_name, task_values):
    """Return one curve of a document: mean and 95% interval over tasks at each x.

    ``task_values`` is float [len(x), n], one accuracy in [0, 1] a task (a task's pictures are averaged
    first: the interval is over tasks, ledger 22), n >= 2. ``low``/``high`` are Student's t with n - 1
    degrees of freedom, clipped to [0, 1]. Raises ``ResultError`` for NaN, values outside [0, 1] and shapes
    that do not fit.
    """
    name = f"{split}/{'all' if user is None else user}/{head}/{metric}"
    values, x = _accuracies(name, task_values), np.asarray(x)
    if x.ndim != 1 or len(x) != len(values):
        raise ResultError(f"{name}: {len(values)} rows of values for x of shape {x.shape}; there must be one a point")
    mean, low, high = interval(values)
    return {
        "user": user, "head": head, "metric": metric, "split": split, "x": x.tolist(), "x_name": x_name,
        "mean": mean.tolist(), "low": low.tolist(), "high": high.tolist(), "n": values.shape[1],
    }  # fmt: skip


def path_of(folder, experiment, case):
    """Return the path of the document of an experiment and case in a run's folder."""
    return Path(folder) / f"{experiment}-{case}.json"


def write(folder, document, values):
    """Write ``<experiment>-<case>.json``, with its values as ``.npz`` beside it; return the JSON's path.

    ``values``: name -> array; ``key(curve)`` -> float [len(x), n] (stored as float32) for every curve, and
    the arrays of pictures that ``document["images"]`` describes. ``format`` and ``values_sha256`` are
    filled in. Raises ``ResultError`` for a document that does not keep the contract, ``StorageError`` where
    the disk refuses.
    """
    values = {
        name: np.asarray(array, np.float32) if "/" in name else np.asarray(array) for name, array in values.items()
    }
    data = npz.pack(values)
    document = {**document, "format": FORMAT, "values_sha256": hashlib.sha256(data).hexdigest()}
    path = path_of(folder, document.get("experiment"), document.get("case"))
    try:
        document = json.loads(npz.canonical(document))  # tuples and numpy's scalars become what is read back
    except ResultError as error:
        raise ResultError(f"{path}: {error}") from error
    validate(str(path), document, values)
    # Both are on the disk before either takes its name: a full disk cannot part a document from its values.
    with atomic.replacing(path) as file:
        file.write((json.dumps(document, indent=1) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())
        atomic.write_bytes(path.with_suffix(".npz"), data)
    return path


def read(path, config=None):
    """Return the document ``path``, checked against the contract and against the values beside it.

    ``config``, where given, is what the result must have been computed with. Raises ``ResultError``, which
    names the file: missing, truncated, not a result of tfmeta, of another version, of another configuration
    (the fields that differ, both values), or not in agreement with its values.
    """
    path = Path(path)
    document = _document(path)
    validate(str(path), document, _values(path, document))
    fields = [] if config is None else differences(document["config"], config)
    if fields:
        raise ResultError(
            f"{path} is of another configuration: {'; '.join(fields)}. "
            "Delete it to compute it again, or use another tag or results folder"
        )
    return document


def read_values(path):
    """Return name -> array of the per-task values (and pictures) that belong to the document ``path``.

    Raises ``ResultError`` as ``read`` does.
    """
    path = Path(path)
    document = _document(path)
    values = _values(path, document)
    validate(str(path), document, values)
    return values


def _document(path):
    try:
        document = json.loads(path.read_bytes(), parse_constant=_refuse)
    except FileNotFoundError:
        raise ResultError(f"{path} is missing: run the experiment first") from None
    except OSError as error:
        raise ResultError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path} is truncated or damaged ({error}). {AGAIN}") from error
    form = document.get("format") if isinstance(document, dict) else None
    if not isinstance(form, str) or not form.startswith("tfmeta-result-"):
        raise ResultError(f"{path} is not a result of tfmeta: it has no tfmeta format. {AGAIN}")
    if form != FORMAT:
        raise ResultError(f"{path} is of another version ({form!r}, this one reads {FORMAT!r}). {AGAIN}")
    return document


def _values(path, document):
    stored = path.with_suffix(".npz")
    arrays, _ = npz.unpack(stored, f"Delete {path} too and run the experiment again")
    if hashlib.sha256(stored.read_bytes()).hexdigest() != document.get("values_sha256"):
        raise ResultError(f"{stored} is not the file that {path.name} was written with. Delete both and run again")
    return arrays


def _accuracies(name, values):
    values = np.asarray(values, np.float32)  # as they are stored: the interval can be had again from the file
    if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] < 2:
        raise ResultError(f"{name}: values of shape {values.shape}; need [points, tasks] with at least 2 tasks")
    wrong = np.argwhere(~((values >= 0) & (values <= 1)))  # a NaN is neither
    if len(wrong):
        row, task = wrong[0]
        raise ResultError(f"{name}: {values[row, task]} at point {row}, task {task} is not an accuracy in [0, 1]")
    return values


def _refuse(constant):
    raise ValueError(f"{constant} is not JSON")
