"""The one place that knows which data sets, attacks, triggers, aggregations and defences there are.

A built-in one is a module of its package that defines the kind's function, so its file's name is its name and nothing
is listed twice (a data set is a folder; `mini_imagenet` is called `mini-imagenet`). Names are found by reading files;
no module is imported before it is used.
"""

import ast
import dataclasses
import functools
import importlib
import types
from pathlib import Path

from tfmeta.errors import check_known


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of exchangeable part.

    Attributes:
        what: What one of them is called in messages.
        package: The package that holds the modules.
        function: The function that each module defines.
    """

    what: str
    package: str
    function: str


KINDS = {
    "datasets": Kind("data set", "tfmeta.datasets", "open_bank"),
    "attacks": Kind("attack", "tfmeta.attacks", "sample_episode"),
    "triggers": Kind("trigger pattern", "tfmeta.attacks.triggers", "pattern"),
    "aggregations": Kind("aggregation", "tfmeta.aggregations", "tff_factory"),
    "defences": Kind("defence", "tfmeta.defences", "adapt"),
}


@functools.cache
def names(kind: str) -> tuple[str, ...]:
    """Return the names of a kind's built-in parts, sorted.

    Args:
        kind: One of `KINDS`.
    """
    folder = Path(__file__).parent / KINDS[kind].package.removeprefix("tfmeta.").replace(".", "/")
    modules = {file.stem: file for file in folder.glob("*.py")}
    modules |= {file.parent.name: file for file in folder.glob("*/__init__.py")}
    found = [name for name, file in modules.items() if _defines(file, KINDS[kind].function)]
    return tuple(sorted(_shown(kind, name) for name in found))


def load(kind: str, name: str) -> types.ModuleType:
    """Import and return the module of a built-in part.

    Args:
        kind: One of `KINDS`.
        name: One of `names(kind)`.

    Raises:
        ConfigError: the name is unknown; the message suggests the nearest one.
    """
    check_known(KINDS[kind].what, name, names(kind))
    return importlib.import_module(f"{KINDS[kind].package}.{name.replace('-', '_')}")


def original(dataset: str) -> str:
    """Return the data set that a stand-in stands in for, or the data set itself.

    Raises:
        ConfigError: the data set is unknown.
    """
    return load("datasets", dataset).STAND_IN_FOR or dataset


def standing_for(dataset: str) -> tuple[str, ...]:
    """Return a data set of the paper and its stand-ins: those that a figure about it may be drawn from."""
    return (dataset, *(name for name in names("datasets") if name != dataset and original(name) == dataset))


def display_name(dataset: str) -> str:
    """Return a data set's name for people; a stand-in's says what it is not. An unknown name is returned as it is."""
    if dataset not in names("datasets"):
        return dataset
    own = load("datasets", dataset)
    if own.STAND_IN_FOR is None:
        return own.DISPLAY_NAME
    return f"{own.DISPLAY_NAME} (drawn from fonts: a stand-in, not {display_name(own.STAND_IN_FOR)})"


def _shown(kind: str, module: str) -> str:
    return module.replace("_", "-") if kind == "datasets" else module


def _defines(file: Path, function: str) -> bool:
    """Return whether a module defines a function at its top level."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == function for node in tree.body)
