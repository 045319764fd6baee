"""Digests of code outside the package: of a file with the local files that it imports, and of what a notebook defines.

Such code imports from tfmeta too. `Outside` names those modules, which are compared with the rest of the package.
"""

import builtins
import dataclasses
import functools
import linecache
import secrets
import site
import symtable
import sys
import sysconfig
import types
from ast import AST, ClassDef, FunctionDef, unparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tfmeta.errors import ConfigError
from tfmeta.plugins import code

_OF_DATACLASSES = ("<string>", dataclasses.__file__)  # files of the methods that `dataclass` adds
_PROCESS = secrets.token_hex(8)
_seen: dict[int, tuple[Any, "Outside"]] = {}


class Outside(NamedTuple):
    """The digest of some code outside the package, and the names that it imports from tfmeta."""

    digest: str
    modules: frozenset[str]


def digest_of(thing: Any) -> Outside:
    """Return the digest of a plug-in's class, or of what it is made of; always the same for one object.

    A class or function of a file is judged by the file, since the whole of it is imported; one of a notebook or a
    script by its own source. A class that is made of something else has that as `GIVEN`: a function, or a text such as
    a Keras model's architecture, which decides all by itself. The modules of its base classes count too.
    """
    if id(thing) not in _seen:  # which keeps the thing, so no other object gets its id
        _seen[id(thing)] = thing, _found(thing)
    return _seen[id(thing)][1]


def file_digest(path: Path | str) -> Outside:
    """Return the digest of a Python file and of the local files that it imports, directly or not.

    A local file is one that an import names and that is no part of Python or of an installed package: beside the file,
    in its own package, or in a folder of `sys.path`. What the code reads without importing it does not count.

    Raises:
        ConfigError: a file cannot be read or is not Python.
    """
    return _closure([Path(path).resolve()])


def source_digest(thing: Any) -> Outside:
    """Return the digest of a class or function that a notebook or a script defines.

    Its source decides what it does if all that the source refers to is built in or comes from a module. If it refers to
    anything else (a variable of the notebook, another function of it, a variable of an enclosing function), or if the
    source cannot be found, the digest is a word that no other process has, so that none takes its results for its own.
    """
    try:
        return _of_definition(thing)
    except (AttributeError, LookupError, OSError, TypeError, SyntaxError, ConfigError):
        return Outside(f"of-process-{_PROCESS}-{id(thing):x}", frozenset())


def _found(thing):
    given = getattr(thing, "GIVEN", thing)
    found = Outside(code.short(given), frozenset()) if isinstance(given, str) else _of_code(given)
    bases = (base.__module__ for base in getattr(thing, "__mro__", ()))
    return found._replace(modules=found.modules | {name for name in bases if name.split(".")[0] == "tfmeta"})


def _of_code(given):
    name, qualified = getattr(given, "__module__", None), getattr(given, "__qualname__", "<locals>")
    file = getattr(sys.modules.get(name), "__file__", None)
    # what is made inside a function depends on that function's variables too
    if file is None or name == "__main__" or "<locals>" in qualified:
        return source_digest(given)
    return file_digest(file)


def _closure(files: list[Path], trees: tuple[AST, ...] = ()) -> Outside:
    """Return the digest of files and syntax trees, and of all local files that they import."""
    digests, pending = {}, list(files)
    names = {name for tree in trees for name in code.imports(tree)}
    pending += [local for name in names for local in _local_files(Path.cwd() / "notebook", name)]
    while pending:
        file = pending.pop()
        if file not in digests:
            tree = code.parse(code.read(file), str(file))
            digests[file] = code.digest(tree)
            found = code.imports(tree, _package(file)[1])
            names |= found
            pending += [local for name in found for local in _local_files(file, name)]
    # in the order of their contents, since it does not matter where the files lie
    digest = code.short("".join(sorted([*digests.values(), *map(code.digest, trees)])))
    return Outside(digest, frozenset(name for name in names if name.split(".")[0] == "tfmeta"))


def _local_files(file: Path, name: str) -> Iterator[Path]:
    """Yield the local files that an import of a dotted name in `file` reads: of `a.b`, those of `a` and of `a.b`."""
    parts, (root, package) = name.split("."), _package(file)
    if parts[0] in ("tfmeta", ""):
        return
    own = package.split(".")[0] == parts[0]
    places = [root] if own else [file.parent, *(Path(place or ".").resolve() for place in sys.path)]
    # a module, or else a folder without __init__.py, as Python decides it
    whole = (place for place in places if code.module_file(place, parts[:1]))
    folder = (place for place in places if (place / parts[0]).is_dir())
    place = next(whole, next(folder, None))
    if place is None or (_installed(place) and not own):
        return
    found = (code.module_file(place, parts[:length]) for length in range(1, len(parts) + 1))
    yield from (one.resolve() for one in found if one is not None)


def _package(file: Path) -> tuple[Path, str]:
    """Return the folder that a file's outermost package lies in, and the dotted name of the package that it is in."""
    folder, names = file.parent, []
    while (folder / "__init__.py").is_file():
        names.append(folder.name)
        folder = folder.parent
    return folder, ".".join(reversed(names))


def _installed(place: Path) -> bool:
    return any(place.is_relative_to(folder) for folder in _installed_folders())


@functools.cache
def _installed_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    named = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(Path(name).resolve() for name in [*named, *site.getsitepackages(), site.getusersitepackages()])


def _of_definition(thing):
    """Return the digest of a class or function by its source; raises one of several errors if that is not enough."""
    functions = [thing] if isinstance(thing, types.FunctionType) else list(_methods(thing))
    if thing.__qualname__ != thing.__name__ or any(map(_enclosed, functions)):
        raise LookupError("it refers to variables of a function around it")
    tree = _definition(thing.__name__, [function.__code__ for function in functions])
    files, modules = [], set()
    for value in _referred(tree, functions[0].__globals__):
        if value is thing:
            continue
        name = value.__name__ if isinstance(value, types.ModuleType) else _home(value)
        file = getattr(sys.modules[name], "__file__", None)
        if name.split(".")[0] == "tfmeta":
            modules.add(name)
        elif file is not None and not _installed(Path(file).resolve()):
            files.append(Path(file).resolve())
    found = _closure(files, (tree,))
    return found._replace(modules=found.modules | modules)


def _methods(kind: type) -> Iterator[types.FunctionType]:
    for value in vars(kind).values():
        value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if isinstance(value, types.FunctionType) and value.__code__.co_filename not in _OF_DATACLASSES:
            yield value


def _enclosed(function: types.FunctionType) -> bool:
    return not set(function.__code__.co_freevars) <= {"__class__"}  # which `super()` uses


def _definition(name: str, codes: list[types.CodeType]) -> AST:
    """Return the syntax tree of the definition of `name` that holds all of some code objects.

    `inspect.getsource` finds no class of a notebook, since such a class has no file.
    """
    if len({one.co_filename for one in codes}) != 1:
        raise LookupError("there is no code, or it is of several files")
    tree = code.parse("".join(linecache.getlines(codes[0].co_filename)), name)
    for node in tree.body:
        if isinstance(node, (ClassDef, FunctionDef)) and node.name == name:
            first = min(part.lineno for part in (node, *node.decorator_list))
            if all(first <= one.co_firstlineno <= node.end_lineno for one in codes):
                return node
    raise LookupError("there is no such definition, or a method is defined elsewhere")


def _referred(tree: AST, scope: dict[str, Any]) -> Iterator[Any]:
    """Yield what the global names of a definition mean; `LookupError` if one is assigned, or means nothing."""
    tables = [symtable.symtable(unparse(tree), "definition", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            name, outermost = symbol.get_name(), table.get_type() == "module"
            if symbol.is_declared_global():
                raise LookupError(f"{name} is a variable that it changes")
            if (outermost and symbol.is_referenced()) or (not outermost and symbol.is_global()):
                if name in scope:
                    yield scope[name]
                elif not hasattr(builtins, name):
                    raise LookupError(name)


def _home(value: Any) -> str:
    """Return the name of the module that a class or function is defined in; `LookupError` if it is in none."""
    name, found = value.__module__, sys.modules[value.__module__]
    for part in value.__qualname__.split("."):
        found = getattr(found, part)
    if name == "__main__" or found is not value:
        raise LookupError(f"{value!r} is of no module")
    return name
