"""Plug-ins that are not part of the package: from a file, or made in a notebook.

Their code runs with the rights of whoever runs tfmeta, like any Python file.
"""

import functools
import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from tfmeta import registry
from tfmeta.errors import PluginError
from tfmeta.plugins import local_files, sources
from tfmeta.plugins.base import Plugin
from tfmeta.plugins.contract import check_class
from tfmeta.utils.signals import Ended

_PREFIX = "tfmeta_outside"  # modules of files have names below it, so that they hide no installed module
_LONGEST = 300  # letters of another's error that a message repeats


def use_file(path: Path | str) -> list[type[Plugin]]:
    """Import a Python file and register the plug-ins that it defines, at most one of each kind, under the file's name.

    The file's folder is added at the end of Python's path, so that it can import files beside it. Classes whose names
    start with an underscore are no plug-ins.

    Raises:
        PluginError: the file is missing or does not import (the message shows its line), defines no plug-in or several
            of one kind, or one that does not keep its kind's contract; or another plug-in has the name already.
    """
    path = Path(path).expanduser().absolute()
    if path.suffix != ".py" or not path.is_file():
        raise PluginError(f"{path}: there is no such Python file; give the path of a .py file")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", path.stem):
        rule = "use up to 40 letters, digits and _, a letter first"
        raise PluginError(f"{str(path)!r}: the file's name becomes the plug-in's; {rule}")
    module = _imported(f"{_PREFIX}.{path.stem}", path.resolve())
    own = [one for one in vars(module).values() if is_plugin(one) and one.__module__ == module.__name__]
    own = [one for one in dict.fromkeys(own) if not one.__name__.startswith("_")]
    if not own:
        bases = ", ".join(f"{kind.package}.base.{kind.base}" for kind in registry.KINDS.values())
        raise PluginError(f"{path} defines no plug-in: derive a class from one of {bases}")
    for kind in {one.KIND for one in own}:
        several = [one.__name__ for one in own if kind == one.KIND]
        if len(several) > 1:
            what = registry.KINDS[kind].what
            raise PluginError(f"{path} defines {' and '.join(several)}, but the file's name can name only one {what}")
    return [add(one, f"the file {path}", one.NAME) for one in own]


def register(plugin: type[Plugin] | None = None, *, name: str | None = None) -> Any:
    """Register a plug-in made in a notebook or a script; a decorator: `@tfmeta.register class Mine(Defence): ...`.

    A class that is defined again in the same place replaces the first one.

    Args:
        plugin: The class.
        name: Its name; by default that of its file, and in a notebook the class's own in small letters with
            underscores.

    Raises:
        PluginError: it does not keep its kind's contract, or another plug-in has the name.
    """
    if plugin is None:
        return functools.partial(register, name=name)
    if not is_plugin(plugin):
        raise PluginError(f"{plugin!r} is not a plug-in: derive a class from a kind's base class, such as Defence")
    return add(plugin, f"the module {plugin.__module__}", name or plugin.NAME)


def add(plugin: type[Plugin], origin: str, name: str) -> type[Plugin]:
    """Register a class under a name after checking it; return it.

    Args:
        plugin: The class.
        origin: Where it comes from, in words.
        name: Its name.

    Raises:
        PluginError: it does not keep its kind's contract, or another plug-in has the name.
    """
    check_class(plugin, origin, name)
    kind = plugin.KIND
    if owner := registry.owner(kind, name):
        known = registry.outside_class(kind, name)  # None also for an installed plug-in that is being loaded
        again = known and (known.__module__, known.__qualname__) == (plugin.__module__, plugin.__qualname__)
        if not again and owner != origin:
            raise PluginError(f"{origin} and {owner} both define the {registry.KINDS[kind].what} {name}: rename one")
        if known and not again:
            raise PluginError(f"{origin} defines two plug-ins named {name}: name one with @tfmeta.register(name=...)")
    plugin.NAME = name
    registry.add(plugin, origin)
    sources.digest_of(plugin)  # now: this code runs, whatever becomes of its file
    return plugin


def is_plugin(found: Any) -> bool:
    """Return whether something is a plug-in's class, and not a kind's base class."""
    known = isinstance(found, type) and issubclass(found, Plugin) and found.KIND in registry.KINDS
    return known and found.__module__ != f"{registry.KINDS[found.KIND].package}.base"


def in_words(error: BaseException) -> str:
    """Return another's error in one printable line that is not too long."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_LONGEST].removesuffix(": ")


def failure(error: BaseException, path: Path, what: str) -> str:
    """Return what happened in a file, with the last of its lines that an error passed through.

    Args:
        error: The error.
        path: The file.
        what: What the file did not do, in words; said where no line of the file is known.
    """
    number = getattr(error, "lineno", None) if isinstance(error, SyntaxError) and error.filename == str(path) else None
    number = number or _last_line(error, path)
    reason = str(error) if isinstance(error, PluginError) else in_words(error)
    if number is None:
        return f"{path} {what}: {reason}"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    line = lines[number - 1].strip() if number <= len(lines) else ""
    if line.startswith("@") and "dataclass" in line:
        reason += " (a plug-in is a dataclass without asking: leave out @dataclass)"
    return f"{path}, line {number}, {line!r}: {reason}"


def failure_of_plugin(error: BaseException) -> str | None:
    """Return the sentence of `failure` for an error, or one that it came from, out of a plug-in's file; else None."""
    known = [registry.outside_class(kind, name) for kind in registry.KINDS for name in registry.names_outside(kind)]
    modules = [sys.modules.get(plugin.__module__) for plugin in known if plugin]
    files = dict.fromkeys(Path(module.__file__) for module in modules if getattr(module, "__file__", None))
    while error is not None:
        for path in files:
            if _last_line(error, path):
                return failure(error, path, "failed")
        error = error.__cause__ or error.__context__
    return None


def _last_line(error: BaseException, path: Path) -> int | None:
    """Return the last line of a file that an error passed through; None if it passed through none."""
    passed = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    # TensorFlow tells of code that it translates, or calls from a graph, in the error's text
    told = re.findall(rf'File "{re.escape(str(path))}", line ([0-9]+)', str(error))
    return (passed or [int(number) for number in told] or [None])[-1]


def _imported(name: str, path: Path) -> ModuleType:
    """Import a file as a module of its own; a failure becomes one sentence with the file's own line."""
    if name in sys.modules:
        if sys.modules[name].__file__ == str(path):
            return sys.modules[name]
        raise PluginError(f"{path} and {sys.modules[name].__file__} have one name: rename one of them")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    local_files.add_folder(path.parent)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Ended:
        raise
    except (Exception, SystemExit) as error:  # whatever a researcher's file raises
        del sys.modules[name]
        raise PluginError(failure(error, path, "does not import")) from error
    try:
        # of all: what a file imports inside a function comes later, and may then be that of the file that is new now
        of_files = {one: found.__file__ for one, found in sys.modules.items() if one.startswith(f"{_PREFIX}.")}
        local_files.check_all(of_files)
    except PluginError:
        del sys.modules[name]
        raise
    return module
