"""The one place that knows which plug-ins there are: data sets, models, aggregations, triggers, attacks and defences.

A built-in plug-in is a module of its kind's package that defines a subclass of the kind's base class, so its file's
name is its name and nothing is listed twice (a data set may be a folder; `mini_imagenet` is called `mini-imagenet`).
Built-in names and options are found by reading files; no module is imported before it is used. A reader's own plug-ins
are registered by `plugins.outside`.
"""

import ast
import functools
import importlib
from collections.abc import Iterator
from dataclasses import Field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tfmeta.errors import check_known

if TYPE_CHECKING:
    from tfmeta.config import Config
    from tfmeta.plugins import Plugin


class Kind(NamedTuple):
    """A kind of plug-in.

    Attributes:
        what: What messages call it.
        package: The package of the built-in ones.
        base: The name of the base class, which is in the package's `base.py`.
        group: The configuration's group that its options belong to.
        selector: The field that selects one by name; None for data sets, which are chosen before the configuration.
        stage: The stage of a run that it decides.
    """

    what: str
    package: str
    base: str
    group: str
    selector: str | None
    stage: str


KINDS = {
    "datasets": Kind("data set", "tfmeta.datasets", "Dataset", "data", None, "partition"),
    "models": Kind("model", "tfmeta.models", "Model", "meta_learning", "meta_learning.model", "pretraining"),
    "aggregations": Kind(
        "aggregation", "tfmeta.aggregations", "Aggregation", "federation", "federation.aggregation", "pretraining"
    ),
    "triggers": Kind("trigger pattern", "tfmeta.attacks.triggers", "Trigger", "trigger", "trigger.pattern", "attack"),
    "attacks": Kind("attack", "tfmeta.attacks", "Attack", "attack", "attack.name", "attack"),
    "defences": Kind("defence", "tfmeta.defences", "Defence", "defence", "defence.name", "evaluation"),
}

_OUTSIDE: dict[tuple[str, str], "Outside"] = {}


class Outside(NamedTuple):
    """A plug-in that is not part of the package: its class, and where it comes from, in words."""

    plugin: "type[Plugin]"
    origin: str


def names(kind: str) -> tuple[str, ...]:
    """Return the names of a kind's plug-ins, sorted; `kind` is one of `KINDS`."""
    _find_installed()
    return tuple(sorted({*_built_in(kind), *names_outside(kind)}))


def names_outside(kind: str) -> list[str]:
    """Return the names of a kind's plug-ins that are not part of the package."""
    return [name for of, name in _OUTSIDE if of == kind]


def find(kind: str, name: str) -> "type[Plugin]":
    """Return a plug-in's class, importing its module if it is built in.

    Raises:
        ConfigError: the name is unknown; the message suggests the nearest one.
    """
    check_known(KINDS[kind].what, name, names(kind))
    if (kind, name) in _OUTSIDE:
        return _OUTSIDE[kind, name].plugin
    file = _built_in(kind)[name]
    module = importlib.import_module(f"{KINDS[kind].package}.{name.replace('-', '_')}")
    return getattr(module, _class_in(file, kind).name)


def build(kind: str, config: "Config", name: str | None = None) -> "Plugin":
    """Return a plug-in with the options that a configuration gives it.

    Args:
        kind: One of `KINDS`.
        config: The configuration.
        name: The plug-in's name; by default the one that the configuration selects.
    """
    selector, group = KINDS[kind].selector, KINDS[kind].group
    plugin = find(kind, name or config[selector])
    given = {full.partition(".")[2]: value for full, value in config.options if full.startswith(f"{group}.")}
    return plugin(**{option: value for option, value in given.items() if option in plugin.OPTIONS}).bind(config)


@functools.cache
def options() -> dict[str, Field]:
    """Return the plug-ins' own options (not those that are shared with the configuration), by full name."""
    found: dict[str, Field] = {}
    for kind in KINDS:
        for name in names(kind):
            for option, field in options_of(kind, name).items():
                found.setdefault(f"{KINDS[kind].group}.{option}", field)
    return found


def options_of(kind: str, name: str) -> dict[str, Field]:
    """Return the own options of one plug-in, by name; a built-in one's are read without importing it."""
    outside = _OUTSIDE.get((kind, name))
    fields = outside.plugin.OPTIONS if outside else _written_options(kind, name)
    about = {"stage": KINDS[kind].stage}
    from tfmeta.config.fields import restated

    own = {option: field for option, field in fields.items() if not field.metadata.get("shared")}
    return {option: restated(option, field.type, field, **about) for option, field in own.items()}


def origin(kind: str, name: str) -> str:
    """Return where a plug-in comes from, in words: "built in", "the file ...", "the package ..."."""
    return _OUTSIDE[kind, name].origin if (kind, name) in _OUTSIDE else "built in"


def add(plugin: "type[Plugin]", origin: str) -> None:
    """Register a plug-in that is not part of the package. `plugins.outside` checks it first."""
    _OUTSIDE[plugin.KIND, plugin.NAME] = Outside(plugin, origin)
    options.cache_clear()


def is_built_in(kind: str, name: str) -> bool:
    """Return whether a plug-in is part of the package."""
    return (kind, name) not in _OUTSIDE and name in _built_in(kind)


def original(dataset: str) -> str:
    """Return the data set that a stand-in stands in for, or the data set itself.

    Raises:
        ConfigError: the data set is unknown.
    """
    return find("datasets", dataset).stand_in_for or dataset


def standing_for(dataset: str) -> tuple[str, ...]:
    """Return a data set of the paper and its stand-ins: those that a figure about it may be drawn from."""
    return (dataset, *(name for name in names("datasets") if name != dataset and original(name) == dataset))


def display_name(dataset: str) -> str:
    """Return a data set's name for people; a stand-in's says what it is not. An unknown name is returned as it is."""
    if dataset not in names("datasets"):
        return dataset
    own = find("datasets", dataset)
    if own.stand_in_for is None:
        return own.display_name or dataset
    return f"{own.display_name} (drawn from fonts: a stand-in, not {display_name(own.stand_in_for)})"


@functools.cache
def _built_in(kind: str) -> dict[str, Path]:
    """Return the files of a kind's built-in plug-ins, by the plug-in's name."""
    folder = Path(__file__).parent / KINDS[kind].package.removeprefix("tfmeta.").replace(".", "/")
    modules = {file.stem: file for file in folder.glob("*.py") if file.stem not in ("base", "__init__")}
    modules |= {file.parent.name: file for file in folder.glob("*/__init__.py")}
    found = {name: file for name, file in modules.items() if _class_in(file, kind)}
    return {name.replace("_", "-") if kind == "datasets" else name: file for name, file in found.items()}


@functools.cache
def _class_in(file: Path, kind: str) -> ast.ClassDef | None:
    """Return a file's plug-in class: the last one whose base class is imported from the kind's package."""
    tree, bases, found = ast.parse(file.read_text(encoding="utf-8")), set(), None
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(KINDS[kind].package):
            bases |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.ClassDef) and bases & {ast.unparse(base) for base in node.bases}:
            found = node
    return found


@functools.cache
def _written_options(kind: str, name: str) -> dict[str, Field]:
    """Return a built-in plug-in's own options as they are written in its file."""
    from tfmeta.config.fields import number, restated, word  # `tfmeta.config.fields` is a function, too

    makers, found = {"number": number, "word": word}, {}
    for option, annotation, value in _assignments(_class_in(_built_in(kind)[name], kind)):
        function = value.func.id if isinstance(value, ast.Call) else None
        if function == "shared" or annotation not in _TYPES:
            continue
        if function is None:
            field = word(ast.literal_eval(value))
        else:
            given = [ast.literal_eval(part) for part in value.args]
            by_name = {one.arg: ast.literal_eval(one.value) for one in value.keywords}
            field = makers[function](*given, **by_name)
        found[option] = restated(option, _TYPES[annotation], field)
    return found


_TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}


def _assignments(node: ast.ClassDef) -> Iterator[tuple[str, str, Any]]:
    """Yield name, annotation and value of the annotated class variables."""
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None:
            yield line.target.id, ast.unparse(line.annotation), line.value


def _find_installed() -> None:
    """Register the plug-ins of installed packages, once a process."""
    from tfmeta.plugins import outside

    outside.use_installed()
