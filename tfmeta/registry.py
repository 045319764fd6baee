"""The one place that knows which plug-ins there are: data sets, models, aggregations, triggers, attacks and defences.

A built-in plug-in is a module of its kind's package that defines a subclass of the kind's base class, so its file's
name is its name and nothing is listed twice (a data set may be a folder; `mini_imagenet` is called `mini-imagenet`).
Its options are read from its file; no module is imported before it is used. A reader's own plug-ins come from files and
notebooks (`plugins.outside`) and from installed packages (`plugins.installed`).
"""

import functools
import importlib
import logging
from dataclasses import Field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tfmeta.errors import ConfigError, PluginError, unknown

if TYPE_CHECKING:
    from tfmeta.config import Config
    from tfmeta.plugins import Plugin
    from tfmeta.plugins.written import Written

_log = logging.getLogger(__name__)


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
    "triggers": Kind("trigger", "tfmeta.attacks.triggers", "Trigger", "trigger", "trigger.pattern", "attack"),
    "attacks": Kind("attack", "tfmeta.attacks", "Attack", "attack", "attack.name", "attack"),
    "defences": Kind("defence", "tfmeta.defences", "Defence", "defence", "defence.name", "evaluation"),
}
PAPER_DATASETS = ("omniglot", "mini-imagenet")
_PACKAGE = "the package tfmeta"

_OUTSIDE: dict[tuple[str, str], "Outside"] = {}


class Outside(NamedTuple):
    """A plug-in that is not part of the package: its class, and where it comes from, in words."""

    plugin: "type[Plugin]"
    origin: str


def names(kind: str) -> tuple[str, ...]:
    """Return the names of a kind's plug-ins, sorted; `kind` is one of `KINDS`."""
    from tfmeta.plugins import installed

    outside = (name for of, name in _OUTSIDE if of == kind)
    return tuple(sorted({*_built_in(kind), *installed.points(kind), *outside}))


def names_outside(kind: str) -> list[str]:
    """Return the names of a kind's plug-ins that are not part of the package."""
    return [name for name in names(kind) if not is_built_in(kind, name)]


def find(kind: str, name: str) -> "type[Plugin]":
    """Return a plug-in's class, importing its module if need be.

    Raises:
        ConfigError: the name is unknown; the message suggests the nearest one.
        PluginError: it belongs to an installed package and cannot be used; the message says why.
    """
    from tfmeta.plugins import installed

    _check_known(kind, name)
    if (kind, name) not in _OUTSIDE and name in installed.points(kind):
        installed.load(kind, name)
    if (kind, name) in _OUTSIDE:
        return _OUTSIDE[kind, name].plugin
    module, plugin = _built_in(kind)[name]
    return getattr(importlib.import_module(module), plugin)


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


def options() -> dict[str, Field]:
    """Return the plug-ins' own options (not those that are shared with the configuration), by full name.

    Of an option that several plug-ins have, the first one's is returned; see `declared`.
    """
    return {full: next(iter(of_plugin.values())) for full, of_plugin in _declared().items()}


def declared(full: str) -> dict[str, Field]:
    """Return an option, given by its full name, as each plug-in that has it defines it, by the plug-in's name."""
    return _declared().get(full, {})


def options_of(kind: str, name: str, *, shared: bool = False) -> dict[str, Field]:
    """Return the options of one plug-in by name; what is not loaded is read from its file, if that can be read.

    Args:
        kind: One of `KINDS`.
        name: The plug-in's name.
        shared: Whether options that are fields of the configuration are returned too.

    Raises:
        ConfigError: the name is unknown, or the plug-in belongs to an installed package and cannot be used.
    """
    _check_known(kind, name)
    if (kind, name) not in _OUTSIDE and _written(kind, name) is None:
        find(kind, name)
    found = _OUTSIDE[kind, name].plugin.OPTIONS if (kind, name) in _OUTSIDE else _written(kind, name).options
    return {option: field for option, field in found.items() if shared or not field.metadata.get("shared")}


def summary(kind: str, name: str) -> str:
    """Return the first line of a plug-in's docstring; nothing if its source cannot be read."""
    if (kind, name) not in _OUTSIDE:
        found = _written(kind, name)
        return found.doc if found else ""
    return (_OUTSIDE[kind, name].plugin.__doc__ or "").strip().partition("\n")[0]


def origin(kind: str, name: str) -> str:
    """Return where a plug-in comes from, in words: "built in", "the file ...", "the package ..."."""
    found = owner(kind, name)
    return "built in" if found in (None, _PACKAGE) else found


def owner(kind: str, name: str) -> str | None:
    """Return what has a plug-in of that name, in words; None if there is no such plug-in."""
    from tfmeta.plugins import installed

    if (kind, name) in _OUTSIDE:
        return _OUTSIDE[kind, name].origin
    if is_built_in(kind, name):
        return _PACKAGE
    return " and ".join(sorted(map(installed.origin, installed.points(kind).get(name, ())))) or None


def outside_class(kind: str, name: str) -> "type[Plugin] | None":
    """Return the class of a plug-in that is not part of the package and is loaded; otherwise None."""
    return _OUTSIDE[kind, name].plugin if (kind, name) in _OUTSIDE else None


def add(plugin: "type[Plugin]", origin: str) -> None:
    """Register a plug-in that is not part of the package. `plugins.outside` checks it first."""
    _OUTSIDE[plugin.KIND, plugin.NAME] = Outside(plugin, origin)


def is_built_in(kind: str, name: str) -> bool:
    """Return whether a plug-in is part of the package."""
    return (kind, name) not in _OUTSIDE and name in _built_in(kind)


def is_of_paper(dataset: str) -> bool:
    """Return whether a data set is one of the paper's or stands in for one."""
    return dataset in names("datasets") and original(dataset) in PAPER_DATASETS


def original(dataset: str) -> str:
    """Return the data set that a stand-in stands in for, or the data set itself.

    Raises:
        ConfigError: the data set is unknown.
    """
    return find("datasets", dataset).stand_in_for or dataset


def standing_for(dataset: str) -> tuple[str, ...]:
    """Return a data set of the paper and its stand-ins: those that a figure about it may be drawn from."""
    known = (name for name in names("datasets") if is_loaded("datasets", name))
    return (dataset, *(name for name in known if name != dataset and original(name) == dataset))


def is_loaded(kind: str, name: str) -> bool:
    """Return whether a plug-in can be used without importing an installed package."""
    return name in _built_in(kind) or (kind, name) in _OUTSIDE


def display_name(dataset: str) -> str:
    """Return a data set's name for people, which says what it is not; an unknown name is returned as it is."""
    if dataset not in names("datasets"):
        return dataset
    own = find("datasets", dataset)
    name = own.display_name or dataset
    if own.stand_in_for is not None:
        drawn = "drawn from fonts: " if is_built_in("datasets", dataset) else ""
        return f"{name} ({drawn}a stand-in, not {display_name(own.stand_in_for)})"
    return name


@functools.cache
def _built_in(kind: str) -> dict[str, tuple[str, str]]:
    """Return module and class of a kind's built-in plug-ins, by the plug-in's name; `PluginError` for two in a file."""
    from tfmeta.plugins import written

    package = KINDS[kind].package
    folder = Path(__file__).parent / package.removeprefix("tfmeta.").replace(".", "/")
    stems = {file.stem for file in folder.glob("*.py")} | {file.parent.name for file in folder.glob("*/__init__.py")}
    found = {}
    for stem in sorted(stems - {"base", "__init__"}):
        classes = written.classes_in(f"{package}.{stem}", kind)
        if len(classes) > 1:
            raise PluginError(f"{package}.{stem} defines {' and '.join(classes)}: put each into a file of its own")
        if classes:
            found[stem.replace("_", "-") if kind == "datasets" else stem] = (f"{package}.{stem}", *classes)
    return found


def _written(kind: str, name: str) -> "Written | None":
    """Return what the source of a plug-in says that is built in or installed; None if it cannot be read."""
    from tfmeta.plugins import installed, written

    if is_built_in(kind, name):
        return written.read(kind, *_built_in(kind)[name])
    return installed.source(kind, name)


def _check_known(kind: str, name: str) -> None:
    """Raise `ConfigError` for an unknown name: it suggests the nearest one, or to load a plug-in where none is near."""
    if name not in (known := names(kind)):
        message = unknown(KINDS[kind].what, name, known)
        raise ConfigError(message if "did you mean" in message else f"{message}; or load your own with --plugin FILE")


def _declared() -> dict[str, dict[str, Field]]:
    """Return all own options of plug-ins: by full name, and by the plug-in's name."""
    return _declared_with(tuple(_OUTSIDE.items()))


@functools.lru_cache(maxsize=1)
def _declared_with(outside: tuple) -> dict[str, dict[str, Field]]:
    """Return what `_declared` does; `outside` only tells whether plug-ins came or went since."""
    found: dict[str, dict[str, Field]] = {}
    for kind, name in [(one, name) for one in KINDS for name in names(one)]:
        try:
            own = options_of(kind, name)
        except PluginError as error:  # of an installed package; whoever names the plug-in is told
            _log.debug("the options of %s are not known: %s", name, error)
            continue
        for option, field in own.items():
            found.setdefault(f"{KINDS[kind].group}.{option}", {})[name] = field
    return found
