"""What every plug-in's class must look like: it defines its kind's hooks, with the parameters that callers pass."""

import dataclasses
import inspect
import re

from tfmeta import registry
from tfmeta.config.config import GROUPS
from tfmeta.config.fields import choices_of
from tfmeta.errors import PluginError
from tfmeta.plugins.base import Plugin

NAMES = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")  # they become parts of file names and of folders' names
_TAKEN = {"datasets": ("auto",), "defences": ("experiment",)}  # words that mean something else where names are given
# what class variables may be, where that is less than their type says
_ALLOWED = {"head": ("softmax", "matching"), "profiles_of": ("omniglot", "mini-imagenet")}


def check_class(plugin: type[Plugin], where: str, name: str) -> None:
    """Raise `PluginError`, which starts with `where`, unless a class keeps its kind's contract.

    Hooks are checked by their parameters; what they return is checked where they are used.
    """
    base, what = base_of(plugin), registry.KINDS[plugin.KIND].what
    if not NAMES.fullmatch(name) or name in _TAKEN.get(plugin.KIND, ()):
        rule = "at most 40 letters, digits, _ and -, a letter first, and not a word with another meaning"
        raise PluginError(f"{where}: {name!r} cannot be the name of a {what}: choose {rule}")
    for hook in sorted(getattr(plugin, "__abstractmethods__", ())):
        raise PluginError(f"{where}: {plugin.__name__} defines no {hook}; the contract asks for {asked(base, hook)}")
    for hook, method in inspect.getmembers(base, inspect.isfunction):
        if not hook.startswith("_") and hook not in vars(Plugin):
            _check_hook(plugin, where, hook, asked(base, hook), list(inspect.signature(method).parameters.values()))
    _check_variables(plugin, base, where)
    _check_options(plugin, base, where)


def base_of(plugin: type[Plugin]) -> type[Plugin]:
    """Return the base class of a plug-in's kind."""
    about = registry.KINDS[plugin.KIND]
    names = about.base, f"{about.package}.base"
    return next(one for one in plugin.__mro__ if (one.__name__, one.__module__) == names)


def asked(base: type[Plugin], hook: str) -> str:
    """Return a hook as its contract has it, in words: name, parameters without types, and the docstring's start."""
    method = getattr(base, hook)
    parameters = ", ".join(inspect.signature(method).parameters)
    return f"{hook}({parameters}): {inspect.getdoc(method).partition(chr(10))[0]}"


def _check_hook(plugin, where, hook, wanted, parameters):
    found = inspect.getattr_static(plugin, hook)
    if not callable(found):
        raise PluginError(f"{where}: {plugin.__name__}.{hook} is no method; the contract asks for {wanted}")
    given = inspect.signature(found)
    if not _fits(parameters, list(given.parameters.values())):
        names = ", ".join(map(str, (one.replace(annotation=one.empty) for one in given.parameters.values())))
        raise PluginError(f"{where}: {plugin.__name__}.{hook}({names}) does not fit; the contract asks for {wanted}")


def _fits(wanted, found):
    """Return whether a hook can be called as its contract's: the same parameters, and more only with defaults."""
    if any(one.kind == one.VAR_POSITIONAL for one in found):
        return True
    names, more = [one.name for one in found], found[len(wanted) :]
    optional = all(one.default is not one.empty or one.kind == one.VAR_KEYWORD for one in more)
    defaults = all(have.default is not have.empty for ask, have in zip(wanted, found, strict=False)
                   if ask.default is not ask.empty)  # fmt: skip
    return names[: len(wanted)] == [one.name for one in wanted] and optional and defaults


def _check_variables(plugin, base, where):
    """Raise `PluginError` for a class variable of the contract that has another type, or a value that is not known."""
    for name, default in vars(base).items():
        if name.startswith("_") or callable(default) or isinstance(default, (property, classmethod)):
            continue
        if isinstance(getattr(plugin, name), property):
            continue
        value, said = getattr(plugin, name), f"{where}: {plugin.__name__}.{name} = {getattr(plugin, name)!r}"
        if name in plugin.OPTIONS:
            raise PluginError(f"{said} is a class variable of the contract: write it without a type")
        if isinstance(default, (bool, str)) and type(value) is not type(default):
            raise PluginError(f"{said}: give a {type(default).__name__}")
        if isinstance(value, str) and not value.isprintable():
            raise PluginError(f"{said}: use letters that can be printed, in one line")
        if name in _ALLOWED and value not in _ALLOWED[name]:
            raise PluginError(f"{said}: give one of {', '.join(_ALLOWED[name])}")


def _check_options(plugin, base, where):
    """Raise `PluginError` for an option that has the name of a field of the group, or of a method."""
    group = registry.KINDS[plugin.KIND].group
    fields = {field.name for field in dataclasses.fields(GROUPS[group])}
    for option, field in plugin.OPTIONS.items():
        if field.metadata.get("shared"):
            continue
        if option in fields:
            line = f"`{option}: {field.type.__name__} = shared()`"
            raise PluginError(
                f"{where}: the group {group} has a field {option} already; write {line} to use it, or choose another "
                "name"
            )
        if hasattr(base, option):
            raise PluginError(f"{where}: an option cannot be named {option}, which is a method; choose another name")
        texts = (field.metadata["doc"], field.metadata["symbol"], *map(str, choices_of(field)))
        if not all(text.isprintable() for text in texts):
            raise PluginError(f"{where}: the option {option}: use letters that can be printed, in one line")
