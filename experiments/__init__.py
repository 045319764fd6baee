"""Experiments: each computes what one figure (or table) of the paper shows, and stores it.

They say which models are measured on which tasks; `tfmeta` does the work and `figures` draws. A module of this package
that defines `NAMES` (cases by experiment) holds one or more experiments, so adding one is adding a file.
"""

import ast
import functools
import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfmeta.errors import ConfigError, unknown

if TYPE_CHECKING:
    from tfmeta.simulation import Simulation


@functools.cache
def modules() -> dict[str, str]:
    """Return the module of each experiment, by the experiment's name."""
    found = [file.stem for file in sorted(Path(__file__).parent.glob("*.py")) if _defines_names(file)]
    return {name: module for module in found for name in importlib.import_module(f"experiments.{module}").NAMES}


def titles() -> dict[str, str]:
    """Return a few words about each experiment, by name: the module's `TITLES`, or the start of its docstring."""
    return {name: getattr(_module(name), "TITLES", {}).get(name) or _first_words(_module(name)) for name in modules()}


def cases_of(name: str) -> tuple[str, ...]:
    """Return the cases that an experiment has.

    Raises:
        ConfigError: the experiment is unknown.
    """
    if name not in modules():
        raise ConfigError(unknown("experiment", name, modules()))
    return _module(name).NAMES[name]


def named(names: Sequence[str]) -> list[str]:
    """Return experiments, where a name such as "ablation-*" stands for all that begin with "ablation-"."""
    found = []
    for name in names:
        matching = [one for one in modules() if one.startswith(name.removesuffix("*"))]
        found += matching if name.endswith("*") else [name]
    return found


def check(name: str, cases: Iterable[str] = ()) -> None:
    """Raise `ConfigError` if an experiment or one of its cases is unknown."""
    known = cases_of(name)
    for case in cases:
        if case not in known:
            raise ConfigError(unknown(f"case of {name}", case, known))


def run(name: str, sim: "Simulation", case: str) -> Path:
    """Run an experiment in one case unless its result is there; return the path of its document.

    Raises:
        ConfigError: the experiment or case is unknown.
    """
    check(name, (case,))
    return _module(name).run(name, sim, case)


def _module(name):
    return importlib.import_module(f"experiments.{modules()[name]}")


def _first_words(module):
    return module.__doc__.splitlines()[0].partition(" (")[0].rstrip(".")


def _defines_names(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return any(isinstance(target, ast.Name) and target.id == "NAMES" for target in targets)
