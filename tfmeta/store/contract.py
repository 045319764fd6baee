"""What every result must satisfy: its JSON Schema, and what a schema cannot say.

No curve is there twice, x increases, and means and intervals are those of the per-task values beside the document.
"""

import functools
import itertools
import json
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from tfmeta.errors import ResultError

_STATED = ("mean", "low", "high")
AGAIN = "Delete it and run the experiment again"


def key(curve: Mapping[str, Any]) -> str:
    """Return the name of a curve's per-task values in the npz file: `<split>/<user or all>/<head>/<metric>`."""
    user = "all" if curve["user"] is None else curve["user"]
    return f"{curve['split']}/{user}/{curve['head']}/{curve['metric']}"


def validate(label: str, document: Mapping[str, Any], values: Mapping[str, np.ndarray]) -> None:
    """Check a document and its per-task values; raise `ResultError`, which starts with `label`, if they are wrong."""
    import jsonschema  # takes 0.2 s, which a run without results does not need

    error = jsonschema.exceptions.best_match(_validator().iter_errors(document))
    if error is not None:
        field = ".".join(map(str, error.absolute_path)) or "the document"
        raise ResultError(f"{label}: {field}: {error.message[:300]}. {AGAIN}")
    seen = set()
    for entry in document["curves"]:
        name = key(entry)
        problem = "is there twice" if name in seen else _problem(entry, values.get(name))
        if problem:
            raise ResultError(f"{label}: curve {name}: {problem}. {AGAIN}")
        seen.add(name)
    odd = values.keys() ^ (seen | document.get("images", {}).keys())
    if odd:
        names = ", ".join(sorted(odd))
        raise ResultError(f"{label}: {names}: in one of the document and its npz file, but not in both. {AGAIN}")


def accuracies_problem(values: np.ndarray) -> str | None:
    """Return what is wrong with per-task values [points, tasks], or None."""
    if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] < 2:
        return f"values of shape {values.shape}; they must be [points, tasks] with at least 2 tasks"
    wrong = np.argwhere(~((values >= 0) & (values <= 1)))  # written so that a NaN is wrong too
    if len(wrong):
        point, task = wrong[0]
        return f"{values[point, task]} at point {point}, task {task} is not an accuracy in [0, 1]"
    return None


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, low and high, float64 [points], of accuracies [points, tasks]; 95%, Student's t over tasks."""
    from scipy.special import stdtrit  # takes 0.25 s, which `import tfmeta.store` does not need

    values, n = values.astype(np.float64), values.shape[1]
    mean = np.clip(values.mean(axis=1), 0, 1)
    half = stdtrit(n - 1, 0.975) * values.std(axis=1, ddof=1) / math.sqrt(n)
    return mean, np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)


def _problem(entry: Mapping[str, Any], values: np.ndarray | None) -> str | None:
    """Return what is wrong with a curve or its per-task values, or None."""
    lists = {name: entry[name] for name in ("x", *_STATED)}
    wanted = (len(entry["x"]), entry["n"])
    if len({len(column) for column in lists.values()}) != 1:
        return f"x, mean, low and high have {', '.join(str(len(column)) for column in lists.values())} entries"
    if not all(map(math.isfinite, entry["x"])) or any(b <= a for a, b in itertools.pairwise(entry["x"])):
        return "x is not finite or does not increase"
    if values is None:
        return "has no per-task values"
    if values.shape != wanted or values.dtype != np.float32:
        return f"per-task values are {values.dtype} {values.shape}; x and n need float32 {wanted}"
    problem = accuracies_problem(values)
    if problem is None and not np.allclose(interval(values), [lists[name] for name in _STATED], rtol=0, atol=1e-5):
        problem = "mean and interval are not those of its per-task values"
    return problem


@functools.cache
def _validator() -> Any:
    import jsonschema

    schema = json.loads(resources.files("tfmeta.store").joinpath("results.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)
