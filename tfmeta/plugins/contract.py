"""What every plug-in's class must look like: it defines its kind's hooks, with the parameters that callers pass."""

import dataclasses
import inspect

from tfmeta import registry
from tfmeta.errors import PluginError
from tfmeta.plugins.base import Plugin


def check_class(plugin: type[Plugin], where: str) -> None:
    """Raise `PluginError`, which starts with `where`, unless a class keeps its kind's contract.

    Hooks are checked by their parameters; what they return is checked where they are used.
    """
    base = base_of(plugin)
    for name in sorted(getattr(plugin, "__abstractmethods__", ())):
        asked = signature(base, name)
        raise PluginError(f"{where}: {plugin.__name__} defines no {name}; the contract asks for {asked}")
    for name, _ in inspect.getmembers(base, inspect.isfunction):
        if name.startswith("_") or not callable(getattr(plugin, name, None)):
            continue
        wanted, found = (list(inspect.signature(getattr(one, name)).parameters.values()) for one in (base, plugin))
        if not _fits(wanted, found):
            raise PluginError(
                f"{where}: {plugin.__name__}.{name}{inspect.signature(getattr(plugin, name))} does not fit; the "
                f"contract asks for {signature(base, name)}"
            )
    taken = {field.name for field in dataclasses.fields(_group(plugin))}
    for option, field in plugin.OPTIONS.items():
        if option in taken and not field.metadata.get("shared"):
            group = registry.KINDS[plugin.KIND].group
            raise PluginError(
                f"{where}: the group {group} has a field {option} already; write `{option}: {field.type.__name__} = "
                "shared()` to use it, or choose another name"
            )


def base_of(plugin: type[Plugin]) -> type[Plugin]:
    """Return the base class of a plug-in's kind."""
    wanted = registry.KINDS[plugin.KIND].base
    return next(one for one in plugin.__mro__ if one.__name__ == wanted)


def signature(base: type[Plugin], name: str) -> str:
    """Return a hook as its contract has it, in words: name, parameters without types, and the docstring's start."""
    method = getattr(base, name)
    parameters = ", ".join(inspect.signature(method).parameters)
    return f"{name}({parameters}): {inspect.getdoc(method).splitlines()[0]}"


def _fits(wanted, found):
    """Return whether a hook can be called as its contract's: the same parameters, and more only with defaults."""
    if any(one.kind == one.VAR_POSITIONAL for one in found):
        return True
    names = [one.name for one in found]
    more = found[len(wanted) :]
    return names[: len(wanted)] == [one.name for one in wanted] and all(one.default is not one.empty for one in more)


def _group(plugin):
    from tfmeta.config.config import GROUPS

    return GROUPS[registry.KINDS[plugin.KIND].group]
