"""Plug-ins that are not part of the package: from a file, from an installed package, or made in a notebook.

Their code runs with the rights of whoever runs tfmeta, like any Python file.
"""

import functools
import importlib.metadata
import importlib.util
import logging
import sys
import traceback
from pathlib import Path
from typing import Any

from tfmeta import registry
from tfmeta.errors import PluginError
from tfmeta.plugins import sources
from tfmeta.plugins.base import Plugin
from tfmeta.plugins.contract import check_class

_PREFIX = "tfmeta_outside"  # modules of files have names below it, so that they hide no installed module

log = logging.getLogger(__name__)


def use_file(path: Path | str) -> list[type[Plugin]]:
    """Import a Python file and register the plug-ins that it defines, at most one of each kind, under the file's name.

    The file's folder is added at the end of Python's path, so that it can import files beside it.

    Raises:
        PluginError: the file is missing or does not import (the message shows its line), defines no plug-in or several
            of one kind, or one that does not keep its kind's contract; or another plug-in has the name already.
    """
    path = Path(path).expanduser().resolve()
    if path.suffix != ".py" or not path.is_file():
        raise PluginError(f"--plugin {path}: there is no such Python file; give the path of a .py file")
    if not path.stem.isidentifier():
        raise PluginError(f"--plugin {path}: the file's name becomes the plug-in's; use letters, digits and _ only")
    module = _imported(path)
    own = [one for one in vars(module).values() if _is_plugin(one) and one.__module__ == module.__name__]
    if not own:
        bases = ", ".join(f"{kind.package}.base.{kind.base}" for kind in registry.KINDS.values())
        raise PluginError(f"{path}: defines no plug-in: derive a class from one of {bases}")
    for kind in {one.KIND for one in own}:
        several = [one.__name__ for one in own if kind == one.KIND]
        if len(several) > 1:
            what = registry.KINDS[kind].what
            raise PluginError(f"{path}: defines {' and '.join(several)}, but the file's name can name only one {what}")
    return [_added(one, f"the file {path}") for one in own]


@functools.cache
def use_installed() -> None:
    """Register the plug-ins of installed packages: entry points of the groups `tfmeta.defences` and so on.

    One that does not import or keep its contract is left out with a warning that names its package.
    """
    for kind in registry.KINDS:
        for point in importlib.metadata.entry_points(group=f"tfmeta.{kind}"):
            package = point.dist.name if point.dist else point.value
            try:
                plugin = point.load()
                if not (_is_plugin(plugin) and kind == plugin.KIND):
                    raise PluginError(f"{point.value} is not a class derived from {registry.KINDS[kind].base}")
                plugin.NAME = point.name
                _added(plugin, f"the package {package}")
            except Exception as error:  # another package's fault must not break every command
                log.warning("the plug-in %s of the package %s is left out: %s", point.name, package, error)


def register(plugin: type[Plugin] | None = None, *, name: str | None = None) -> Any:
    """Register a plug-in made in a notebook or a script; a decorator: `@tfmeta.register class Mine(Defence): ...`.

    Args:
        plugin: The class.
        name: Its name; by default the class's own in small letters with underscores. A class that is defined again
            in the same place replaces the first one.

    Raises:
        PluginError: it does not keep its kind's contract, or another plug-in has the name.
    """
    if plugin is None:
        return functools.partial(register, name=name)
    if not _is_plugin(plugin):
        raise PluginError(f"{plugin!r} is not a plug-in: derive a class from a kind's base class, such as Defence")
    plugin.NAME = name or plugin.NAME
    return _added(plugin, f"the module {plugin.__module__}")


def _added(plugin, origin):
    """Register a class after checking it; return it."""
    check_class(plugin, origin)
    kind, name = plugin.KIND, plugin.NAME
    if registry.is_built_in(kind, name):
        what = registry.KINDS[kind].what
        raise PluginError(f"{origin}: the package has a {what} named {name} already: rename the file or the plug-in")
    if name in registry.names_outside(kind):
        there = registry.find(kind, name)
        if (there.__module__, there.__qualname__) != (plugin.__module__, plugin.__qualname__):
            where = registry.origin(kind, name)
            raise PluginError(f"{origin} and {where} both define the {registry.KINDS[kind].what} {name}: rename one")
    registry.add(plugin, origin)
    sources.digest_of(plugin)  # now: this code runs, whatever becomes of its file
    return plugin


def _is_plugin(found):
    """Return whether something is a plug-in's class, and not a kind's base class."""
    return isinstance(found, type) and issubclass(found, Plugin) and found.__module__.rpartition(".")[2] != "base"


def _imported(path):
    """Import a file as a module of its own; a failure becomes one sentence with the file's own line."""
    name = f"{_PREFIX}.{path.stem}"
    if name in sys.modules:
        if sys.modules[name].__file__ == str(path):
            return sys.modules[name]
        raise PluginError(f"{path} and {sys.modules[name].__file__} have one name: rename one of them")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a reader's file raises
        del sys.modules[name]
        if isinstance(error, PluginError):
            raise PluginError(f"{path}: {error}") from error
        line = error.lineno if isinstance(error, SyntaxError) else _own_line(error, path)
        shown = path.read_text(encoding="utf-8", errors="replace").splitlines()[line - 1].strip() if line else ""
        raise PluginError(f"{path}, line {line}: {shown!r} failed: {type(error).__name__}: {error}") from error
    return module


def _own_line(error, path):
    """Return the last line of a file that an error passed through, or None."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else None
