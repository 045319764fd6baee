"""Plug-ins of installed packages: entry points of the groups `tfmeta.defences` and so on.

Their names come from the packages' metadata and their options from source files. A package is imported when one of its
plug-ins is used, so one that does not import harms nobody who does not use it.
"""

import functools
import importlib.metadata
import logging
from importlib.metadata import EntryPoint

from tfmeta import registry
from tfmeta.errors import PluginError
from tfmeta.plugins import written
from tfmeta.plugins.contract import NAMES
from tfmeta.plugins.written import Written
from tfmeta.utils.signals import Ended

_log = logging.getLogger(__name__)


@functools.cache
def points(kind: str) -> dict[str, tuple[EntryPoint, ...]]:
    """Return the entry points of a kind by name; several of one name are of several packages.

    One whose name cannot be a plug-in's is left out with a warning.
    """
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in importlib.metadata.entry_points(group=f"tfmeta.{kind}"):
        if NAMES.fullmatch(point.name):
            found[point.name] = (*found.get(point.name, ()), point)
        else:
            _log.warning("%s has a plug-in %r, which is no name for one, so it is left out", origin(point), point.name)
    return found


def name_of(kind: str, module: str, qualname: str) -> str | None:
    """Return the name that an entry point gives to a class, or None if there is none."""
    wanted = f"{module}:{qualname}"
    return next((name for name, found in points(kind).items() if any(point.value == wanted for point in found)), None)


def origin(point: EntryPoint) -> str:
    """Return where an entry point comes from, in words."""
    return f"the package {point.dist.name if point.dist else point.module}"


def load(kind: str, name: str) -> None:
    """Import an installed plug-in and register it under its entry point's name.

    Raises:
        PluginError: the package does not import, the plug-in does not keep its contract, or another one has its name.
    """
    from tfmeta.plugins import outside

    what, found = registry.KINDS[kind].what, points(kind)[name]
    owners = [*(["tfmeta"] if registry.is_built_in(kind, name) else []), *sorted(map(origin, found))]
    if len(owners) > 1:
        raise PluginError(f"{' and '.join(owners)} all define the {what} {name}: uninstall all but one")
    (point,) = found
    try:
        plugin = point.load()
    except Ended:
        raise
    except (Exception, SystemExit) as error:  # whatever another package raises
        reason = outside.in_words(error)
        raise PluginError(f"{owners[0]} has the {what} {name}, but does not import: {reason}") from error
    if not (outside.is_plugin(plugin) and kind == plugin.KIND):
        raise PluginError(f"{owners[0]}: {point.value} is not a class derived from {registry.KINDS[kind].base}")
    outside.add(plugin, owners[0], name)


def source(kind: str, name: str) -> Written | None:
    """Return what an installed plug-in's source says; None if it cannot be read, or two packages define it."""
    found = points(kind)[name]
    if len(found) > 1:
        return None
    try:
        return written.read(kind, found[0].module, found[0].attr)
    except (PluginError, OSError, RecursionError, ValueError) as error:
        _log.debug("%s: the source of its plug-in %s cannot be read: %s", origin(found[0]), name, error)
        return None
