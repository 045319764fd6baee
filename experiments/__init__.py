"""Experiments: each computes what one figure (or table) of the paper shows, and stores it.

They say which models are measured on which tasks; `tfmeta` does the work and `figures` draws. A module of this package
that defines `NAMES` (cases by experiment) holds one or more experiments, so adding one is adding a file.
"""

import fnmatch
import functools
import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType

import tfmeta
from tfmeta.config import Config
from tfmeta.errors import ConfigError, check_known, unknown


@functools.cache
def modules() -> dict[str, str]:
    """Return the name of each experiment's module, by the experiment's name; `ConfigError` if two have one name."""
    found = {}
    for stem in sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py") if file.stem != "cli"):
        for name in getattr(_imported(stem), "NAMES", ()):
            if found.setdefault(name, stem) != stem:
                raise ConfigError(f"{found[name]}.py and {stem}.py both define the experiment {name}: rename one")
    return found


def titles() -> dict[str, str]:
    """Return a few words about each experiment, by name: its module's `TITLES`, or else the docstring's start."""
    found = {name: _imported(stem) for name, stem in modules().items()}
    return {name: getattr(module, "TITLES", {}).get(name) or _start(module) for name, module in found.items()}


def cases_of(name: str) -> tuple[str, ...]:
    """Return the cases that an experiment has; `ConfigError` if it is unknown."""
    check_known("experiment", name, modules())
    return _imported(modules()[name]).NAMES[name]


def named(names: Iterable[str]) -> list[str]:
    """Return experiments, where a name such as "ablation-*" stands for all that begin with "ablation-"."""
    return [one for name in names for one in fnmatch.filter(modules(), name) or [name]]


def check(name: str, cases: Sequence[str] = (), config: Config | None = None) -> None:
    """Raise `ConfigError` if an experiment or one of its cases is unknown, or it cannot be run with a configuration."""
    known = cases_of(name)
    for case in cases:
        if case not in known:
            raise ConfigError(f"experiment {name}: {unknown('case', case, known)}")
    of_module = getattr(_imported(modules()[name]), "check", None)
    if config is not None and of_module is not None:
        of_module(name, config)


def run(name: str, sim: "tfmeta.Simulation", case: str) -> Path:
    """Run an experiment in one case unless its result is there; return its document's path. Errors as in `check`."""
    check(name, (case,), sim.config)
    return _imported(modules()[name]).run(name, sim, case)


def module(name: str) -> ModuleType:
    """Return an experiment's module."""
    return _imported(modules()[name])


def _imported(stem):
    return importlib.import_module(f"experiments.{stem}")


def _start(module):
    return module.__doc__.splitlines()[0].partition(" (")[0].rstrip(".")
