"""The contract of a result: its JSON Schema, and what a schema cannot say.

Lists have one length, an interval holds its mean, no curve is there twice, and means and intervals are those
of the per-task values stored beside the document.
"""

import functools
import itertools
import json
import math
from importlib import resources

import numpy as np

from tfmeta.errors import ResultError

AGAIN = "Delete it and run the experiment again"


def key(curve):
    """Return the name of a curve's per-task values in the npz: ``<split>/<user or all>/<head>/<metric>``."""
    user = "all" if curve["user"] is None else curve["user"]
    return f"{curve['split']}/{user}/{curve['head']}/{curve['metric']}"


def validate(label, document, values):
    """Raise ``ResultError``, which starts with ``label``, where the contract is not kept."""
    import jsonschema  # 0.2 s that a run without results need not pay

    error = jsonschema.exceptions.best_match(_validator().iter_errors(document))
    if error is not None:
        field = ".".join(map(str, error.absolute_path)) or "the document"
        raise ResultError(f"{label}: {field}: {error.message[:300]}. {AGAIN}")
    seen = set()
    for entry in document["curves"]:
        name = key(entry)
        if name in seen:
            raise ResultError(f"{label}: curve {name} is there twice. {AGAIN}")
        seen.add(name)
        problem = _curve_problem(entry) or _values_problem(entry, values.get(name))
        if problem:
            raise ResultError(f"{label}: curve {name}: {problem}. {AGAIN}")
    described = seen | set(document.get("images", {}))
    if described != values.keys():
        odd = ", ".join(sorted(described ^ values.keys()))
        raise ResultError(f"{label}: {odd}: in one of the document and its npz, but not in both. {AGAIN}")


def _curve_problem(entry):
    lists = [entry[name] for name in ("x", "mean", "low", "high")]
    if len({len(column) for column in lists}) != 1:
        return f"x, mean, low and high have {', '.join(str(len(column)) for column in lists)} entries"
    if not all(math.isfinite(number) for column in lists for number in column):
        return "a number is not finite"
    x, mean, low, high = lists
    if any(b <= a for a, b in itertools.pairwise(x)):
        return "x does not increase"
    if not all(a <= b <= c for a, b, c in zip(low, mean, high, strict=True)):
        return "an interval does not hold its mean"
    return None


def _values_problem(entry, values):
    if values is None:
        return "has no per-task values"
    wanted = (len(entry["x"]), entry["n"])
    if values.shape != wanted or values.dtype != np.float32:
        return f"per-task values are {values.dtype} {values.shape}, x and n say float32 {wanted}"
    if not ((values >= 0) & (values <= 1)).all():  # a NaN fails both
        return "a per-task value is not in [0, 1]"
    stated = [entry[name] for name in ("mean", "low", "high")]
    if not all(np.allclose(a, b, rtol=0, atol=1e-5) for a, b in zip(interval(values), stated, strict=True)):
        return "mean and interval are not those of its per-task values"
    return None


def interval(values):
    """Return mean, low, high (float64 [points]) of accuracies [points, tasks]; 95%, Student's t."""
    from scipy.special import stdtrit  # a quarter of a second that `import tfmeta.store` need not pay

    values, n = values.astype(np.float64), values.shape[1]
    mean = np.clip(values.mean(axis=1), 0, 1)
    half = stdtrit(n - 1, 0.975) * values.std(axis=1, ddof=1) / math.sqrt(n)
    return mean, np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)


@functools.cache
def _validator():
    import jsonschema

    schema = json.loads(resources.files("tfmeta.store").joinpath("results.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)
