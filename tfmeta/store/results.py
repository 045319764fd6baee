"""Results: one JSON document per experiment and case, and the per-task values beside it in an npz file.

A document has a digest of its own content and one of its values, so that a change in either is noticed.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tfmeta.config import legacy
from tfmeta.errors import ConfigError, ResultError
from tfmeta.store import atomic, npz
from tfmeta.store.compare import differences
from tfmeta.store.contract import AGAIN, accuracies_problem, interval, key, validate
from tfmeta.utils import files

__all__ = [
    "FILLED_IN", "FORMAT", "curve", "key", "load", "path_of", "read", "read_values", "run_folder", "warn_undigested",
    "write",
]  # fmt: skip

FORMAT = "tfmeta-result-2"
FILLED_IN = ("format", "sha256", "values_sha256")  # the fields of a document that `write` fills in
LARGEST = 64 << 20  # bytes of a document; those of the paper's figures have 100,000

_warned: set[Path] = set()  # documents without a digest that a warning has spoken of
log = logging.getLogger(__name__)


def run_folder(root: Path | str, dataset: str, profile: str, tag: str | None = None) -> Path:
    """Return `<root>/<dataset>-<profile>[-<tag>]`, the folder of a run's results; `ConfigError` for an odd word."""
    words = [dataset, profile] if tag is None else [dataset, profile, tag]
    for word in words:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.=+-]{0,79}", word):
            raise ConfigError(f"{word!r} cannot be part of a folder's name: use letters, digits and . _ - = +")
    return Path(root) / "-".join(words)


def path_of(folder: Path | str, experiment: str, case: str) -> Path:
    """Return the path of the document of an experiment and case in a run's folder."""
    return Path(folder) / f"{experiment}-{case}.json"


def curve(
    *, user: int | None, head: str, metric: str, split: str, x: npt.ArrayLike, x_name: str, task_values: npt.ArrayLike
) -> dict[str, Any]:
    """Return one curve of a document: mean and 95% interval over tasks at each x, clipped to [0, 1].

    Args:
        user: The user's number, or None for a curve that does not depend on the user.
        head: "softmax" or "matching".
        metric: "main", "meta_test", "backdoor_train" or "backdoor_validation".
        split: Whether the model is the one "before" or "after" the attack.
        x: The points, [points].
        x_name: "round", "iteration" or "delta".
        task_values: One accuracy per point and task, float [points, n] in [0, 1], n >= 2. The images of a task are
            averaged first: the interval is over tasks (ledger 22), Student's t with n - 1 degrees of freedom.

    Raises:
        ResultError: values are NaN or outside [0, 1], or shapes do not fit.
    """
    values, x = np.asarray(task_values, np.float32), np.asarray(x)  # float32: as stored, so the file gives the interval
    entry = {"user": user, "head": head, "metric": metric, "split": split, "x": x.tolist(), "x_name": x_name}
    problem = accuracies_problem(values)
    if problem is None and (x.ndim != 1 or len(x) != len(values)):
        problem = f"{len(values)} rows of values for x of shape {x.shape}; there must be one row per point"
    if problem:
        raise ResultError(f"{key(entry)}: {problem}")
    mean, low, high = (column.tolist() for column in interval(values))
    return {**entry, "mean": mean, "low": low, "high": high, "n": values.shape[1]}


def write(folder: Path | str, document: Mapping[str, Any], values: Mapping[str, npt.ArrayLike]) -> Path:
    """Write `<experiment>-<case>.json`, and its values as an npz file beside it; return the JSON file's path.

    Args:
        folder: The run's folder.
        document: All but the fields that are filled in, `FILLED_IN`.
        values: For every curve `key(curve)` -> float [points, n] (stored as float32), and the arrays that
            `document["images"]` describes.

    Raises:
        ResultError: the document breaks the contract.
        StorageError: the disk refuses.
    """
    arrays = {name: np.asarray(array, np.float32 if "/" in name else None) for name, array in values.items()}
    data = npz.pack(arrays)
    path = path_of(folder, document.get("experiment"), document.get("case"))
    document = {**document, "format": FORMAT, "values_sha256": hashlib.sha256(data).hexdigest()}
    try:
        document = json.loads(npz.canonical(document))  # tuples and numpy's scalars become what is read back
        document["sha256"] = _digest(document)
    except ResultError as error:
        raise ResultError(f"{path}: {error}") from error
    validate(str(path), document, arrays)
    # Both are on the disk before either gets its name: a full disk cannot separate a document from its values.
    with atomic.replacing(path) as file:
        file.write((json.dumps(document, indent=1) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())
        atomic.write_bytes(path.with_suffix(".npz"), data)
    return path


def load(path: Path | str, warn: bool = True) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return a document and its arrays by name: per-task values float32 [points, n], and images.

    Fields that were added to the configuration later have their legacy values (`tfmeta.config.legacy`).

    Args:
        path: The document.
        warn: Whether to log a warning, once a process, if the document is from before documents had a digest of their
            own content. Who reads many may call `warn_undigested` for all of them instead.

    Raises:
        ResultError: the document or its npz file is missing, damaged, changed after it was written, not a result of
            tfmeta or of another version, or the two do not agree; the message names the file.
    """
    path = Path(path)
    document, stored = _document(path), path.with_suffix(".npz")
    if warn and "sha256" not in document:
        warn_undigested([path])
    arrays, _ = npz.unpack(stored, f"Delete {path} too and run the experiment again")
    if hashlib.sha256(files.read(stored, npz.LARGEST)).hexdigest() != document.get("values_sha256"):
        raise ResultError(f"{stored} is not the file that {path.name} was written with. Delete both and run again")
    validate(str(path), document, arrays)
    if path.name != (own := path_of("", document["experiment"], document["case"]).name):
        raise ResultError(f"{path} holds the result {own}. Give it that name again, with its npz file, or delete it")
    document["config"] = legacy.complete(document["config"])
    return document, arrays


def read(path: Path | str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a document, checked as `load` does and, if `config` (by group) is given, to be of that configuration.

    Raises:
        ResultError: as `load`, or the configuration is another; the message then names the fields that differ.
    """
    document, _ = load(path)
    there, here = document["config"], config or {}
    pair = legacy.completed(there, here), legacy.completed(here, there)
    fields = [] if config is None else differences(*pair)
    if fields:
        raise ResultError(
            f"{path} is of another configuration: {'; '.join(fields)}. "
            "Delete it to compute it again, or use another results folder"
        )
    return document


def read_values(path: Path | str) -> dict[str, np.ndarray]:
    """Return the arrays of a document by name, checked as `load` does."""
    return load(path)[1]


def warn_undigested(paths: Iterable[Path]) -> None:
    """Log one warning about documents without a digest of their own content, unless it spoke of them before."""
    new = sorted({path.absolute() for path in paths} - _warned)
    _warned.update(new)
    if new:
        more = f" and {len(new) - 1} more" if len(new) > 1 else ""
        log.warning(
            "%s%s: written before results had a digest of their own content, so a change by hand would not be noticed; "
            "to be sure, delete it and run the experiment again", new[0], more,
        )  # fmt: skip


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(files.read(path, LARGEST), parse_constant=_refuse)
    except FileNotFoundError:
        raise ResultError(f"{path} is missing: run the experiment first") from None
    except OSError as error:
        raise ResultError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ResultError(f"{path} is truncated or damaged ({error}). {AGAIN}") from error
    found = document.get("format") if isinstance(document, dict) else None
    if not isinstance(found, str) or not found.startswith("tfmeta-result-"):
        raise ResultError(f"{path} is not a result of tfmeta: it has no tfmeta format. Move it elsewhere, or delete it")
    if found != FORMAT:
        raise ResultError(f"{path} is of another version ({found!r}), and those are not converted. {AGAIN}")
    if "sha256" in document and not _unchanged(document):
        what = f"{path} was changed after it was written, or is damaged: its content does not have the digest it names"
        raise ResultError(f"{what}. {AGAIN}")
    return document


def _unchanged(document: dict[str, Any]) -> bool:
    try:
        return document["sha256"] == _digest(document)
    except (ResultError, RecursionError):  # infinity (1e999), or nested too deeply: `write` writes neither
        return False


def _digest(document: Mapping[str, Any]) -> str:
    """Return the sha256 (hexadecimal) of a document's content, whatever its spaces and the order of its fields."""
    text = npz.canonical({name: value for name, value in document.items() if name != "sha256"})
    return hashlib.sha256(text.encode()).hexdigest()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
