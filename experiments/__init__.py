"""Experiments: each computes what one figure (or table) of the paper shows, and stores it.

They say which models are measured on which tasks; `tfmeta` does the work and `figures` draws. A module of this package
that defines `NAMES` holds one or more experiments, so adding one is adding a file.
"""

import ast
import functools
import importlib
from collections.abc import Sequence
from pathlib import Path

from tfmeta.errors import check_known
from tfmeta.simulation import Simulation


@functools.cache
def modules() -> dict[str, str]:
    """Return the module of each experiment, by the experiment's name."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    found = [file.stem for file in files if _defines_names(file)]
    return {name: module for module in found for name in importlib.import_module(f"experiments.{module}").NAMES}


def cases_of(name: str) -> tuple[str, ...]:
    """Return the cases that an experiment has.

    Raises:
        ConfigError: the experiment is unknown.
    """
    check_known("experiment", name, modules())
    return _module(name).NAMES[name]


def named(names: Sequence[str]) -> list[str]:
    """Return experiments with every name that ends in * replaced by all that begin so, in their module's order."""
    found = []
    for name in names:
        matching = [one for one in modules() if one.startswith(name.removesuffix("*"))]
        found += matching if name.endswith("*") else [name]
    return found


def check(name: str, cases: Sequence[str] = ()) -> None:
    """Raise `ConfigError` for an unknown experiment or case."""
    for case in cases:
        check_known(f"case of {name}", case, cases_of(name))
    cases_of(name)


def run(name: str, sim: Simulation, case: str) -> Path:
    """Run an experiment in one case unless its result is there; return the path of its document.

    Raises:
        ConfigError: the experiment or case is unknown.
    """
    check(name, (case,))
    return _module(name).run(name, sim, case)


def _module(name):
    return importlib.import_module(f"experiments.{modules()[name]}")


def _defines_names(file: Path) -> bool:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return any(isinstance(target, ast.Name) and target.id == "NAMES" for target in targets)
