"""Stored results as pandas frames."""

import fnmatch
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfmeta.config import tag_of
from tfmeta.errors import ResultError
from tfmeta.store import npz, results

_POINT = ["mean", "low", "high"]
_COLUMNS = [
    "dataset", "profile", "tag", "changed", "experiment", "case", "user", "head", "metric", "split", "x_name", "x",
    *_POINT, "n", "seed", "commit", "path",
]  # fmt: skip


def load_results(folder: Path | str = "results", per_task: bool = False) -> pd.DataFrame:
    """Return all stored results below a folder as one tidy frame.

    Args:
        folder: A run's folder (such as `results/omniglot-quick`), or a folder of such folders.
        per_task: Whether to return one row per point and task instead of one per point.

    Returns:
        One row per point of a curve. `x` is the `round`, `iteration` or `delta` that `x_name` says; `mean`, `low` and
        `high` are accuracies in [0, 1] (float64), the latter two a 95% interval over `n` tasks. `split` says whether
        the model is the one "before" or "after" the attack. `user` is missing (`<NA>`) where a curve is of no single
        user. `tag` and `changed` say in which fields the run differs from its profile, and are empty where it does
        not. With `per_task`, `task` (from 0) and `accuracy` (float32) replace `mean`, `low` and `high`. Experiments
        without curves, such as `illustration`, have no rows.

    Raises:
        ResultError: the folder is missing, holds no results, or holds a damaged one; the message names it.
    """
    folder = Path(folder)
    if not npz.exists(folder) or not folder.is_dir():
        raise ResultError(f"{folder} is not a folder: give a run's folder, or the one given as --results")
    paths = _documents(folder)
    if not paths:
        raise ResultError(f"{folder} holds no results (<experiment>-<case>.json): run an experiment first")
    columns = [name for name in _COLUMNS if name not in _POINT] + ["task", "accuracy"] if per_task else _COLUMNS
    frames, undigested = [], []
    for path in paths:
        document, values = results.load(path, warn=False)
        frames += _frames(path, document, values, per_task)
        undigested += [] if "sha256" in document else [path]
    results.warn_undigested(undigested)  # one line for all of them
    whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
    return whole[columns].astype({"user": "Int64", "x": "float64"})


def _documents(folder: Path) -> list[Path]:
    """Return the paths of all files below a folder that are called like documents."""

    def refuse(error: OSError) -> None:  # else its results would be missing from the table without a word
        raise ResultError(f"{error.filename} cannot be read ({error.strerror}): check its permissions") from error

    return sorted(
        Path(place) / name
        for place, _, names in os.walk(folder, onerror=refuse) for name in fnmatch.filter(names, "*-[abc].json")
    )  # fmt: skip


def _frames(
    path: Path, document: dict[str, Any], values: dict[str, np.ndarray], per_task: bool
) -> Iterator[pd.DataFrame]:
    """Yield one frame per curve of a document."""
    changed = document["changed"]
    run: dict[str, Any] = {name: document[name] for name in ("dataset", "profile", "experiment", "case")} | {
        "tag": tag_of(changed) or "",
        "changed": ", ".join(f"{name}={value}" for name, value in changed.items()),
        "seed": document["config"]["meta_learning"]["seed"],
        "commit": document["provenance"]["commit"],
        "path": str(path),
    }
    for curve in document["curves"]:
        frame = pd.DataFrame(curve).assign(**run)
        if per_task:
            accuracies = values[results.key(curve)]
            points, tasks = np.indices(accuracies.shape)
            frame = frame.iloc[points.ravel()].assign(task=tasks.ravel(), accuracy=accuracies.ravel())
        yield frame
