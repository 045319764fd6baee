"""Digests of code outside the package: of a file with the local files that it imports, and of what a notebook defines.

Such code imports from tfmeta too. `Outside` names those modules, which are compared with the rest of the package.
"""

import builtins
import linecache
import logging
import secrets
import symtable
import sys
import types
from ast import AST, ClassDef, FunctionDef, Module, unparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tfmeta.errors import ConfigError
from tfmeta.plugins import code, local_files, state
from tfmeta.plugins.local_files import installed
from tfmeta.plugins.state import Unknown, Watched

_PROCESS = secrets.token_hex(8)
_log = logging.getLogger(__name__)


class Outside(NamedTuple):
    """The digest of some code outside the package, and the names that it imports from tfmeta."""

    digest: str
    modules: frozenset[str]


class _Judged(NamedTuple):
    """What is known of an object for as long as the process runs.

    Attributes:
        outside: What its source says. The digest is empty if the source does not say what it does.
        watched: The variables that may have other values than the source says.
        why: Why the source is not enough.
    """

    outside: Outside
    watched: tuple[Watched, ...] = ()
    why: str = ""


_seen: dict[int, tuple[Any, _Judged]] = {}
_said: set[tuple[int, str]] = set()


def digest_of(thing: Any) -> Outside:
    """Return the digest of a plug-in's class, or of what it is made of.

    A class or function of a file is judged by the file, since the whole of it is imported; one of a notebook or a
    script by its own source. Files are read once per process: what was imported goes on running. A class that is made
    of something else has that as `GIVEN`: a function, or a text such as a Keras model's architecture, which decides all
    by itself. The modules of its base classes count too.

    Numbers, texts and the like that the module, a local module that it imports, the class or the function has now and
    that its file does not say count as well. Where source and such values do not decide what the object does (it is a
    bound method, it has variables of a function around it), the digest is a word that no other process has, so that
    none takes its results for its own; the log says why.
    """
    if id(thing) not in _seen:  # which keeps the thing, so no other object gets its id
        _seen[id(thing)] = thing, _judged(thing)
    found = _seen[id(thing)][1]
    if found.why:
        return found.outside._replace(digest=_of_process(thing, found.why))
    try:
        changes = [line for watched in found.watched for line in state.changed(watched)]
    except Unknown as error:
        return found.outside._replace(digest=_of_process(thing, str(error)))
    if not changes:
        return found.outside
    return found.outside._replace(digest=code.short("\n".join([found.outside.digest, *changes])))


def file_digest(path: Path | str) -> Outside:
    """Return the digest of a Python file and of the local files that it imports, directly or not.

    A local file is one that an import names and that is no part of Python or of an installed package: in a folder of
    `sys.path`, beside the file, or in its own package. What the code reads without importing it does not count.

    Raises:
        ConfigError: a file cannot be read or is not Python.
    """
    return _of_files({Path(path).resolve(): ""}).outside


def source_digest(thing: Any) -> Outside:
    """Return the digest of a class or function that a notebook or a script defines.

    Its source decides what it does if all that the source refers to is built in or comes from a module. If it refers to
    anything else (a variable of the notebook, another function of it, a variable of an enclosing function), or if the
    source cannot be found, the digest is a word that no other process has.
    """
    found = _of_source(thing)
    return found.outside._replace(digest=_of_process(thing, found.why)) if found.why else found.outside


def _judged(thing):
    given = getattr(thing, "GIVEN", thing)
    found = _Judged(Outside(code.short(given), frozenset())) if isinstance(given, str) else _of_code(given)
    bases = {base.__module__ for base in getattr(thing, "__mro__", ())}
    own = found.outside.modules | {name for name in bases if name.split(".")[0] == "tfmeta"}
    return found._replace(outside=found.outside._replace(modules=own))


def _of_process(thing: Any, why: str) -> str:
    """Return a word for a thing in this process and with the values around it now; say why once."""
    given = getattr(thing, "GIVEN", thing)
    if (id(given), why) not in _said:
        _said.add((id(given), why))
        _log.info(
            "%s: its source does not say all that it does (%s), so its results, with all models that it decides, are "
            "computed again by every process; write the plug-in as a class with options to keep them",
            getattr(given, "__qualname__", type(given).__name__), why,
        )  # fmt: skip
    return f"of-process-{_PROCESS}-{id(given):x}-{code.short(chr(10).join([why, *state.around(given)]))}"


def _of_code(given):
    name, qualified = getattr(given, "__module__", None), getattr(given, "__qualname__", "<locals>")
    file = getattr(sys.modules.get(name), "__file__", None)
    # what is made inside a function depends on that function's variables too
    if file is None or name == "__main__" or "<locals>" in qualified:
        return _of_source(given)
    found = _of_files({Path(file).resolve(): name})
    try:
        return found._replace(watched=(*found.watched, *_own(given, file)))
    except Unknown as error:
        return _Judged(Outside("", found.outside.modules), why=str(error))


def _own(given, file) -> list[Watched]:
    """Return what to watch of a class or function of a file; raises `Unknown` if it is not what the file defines."""
    module, tree = sys.modules[given.__module__], code.parse(code.read(Path(file)), str(file))
    if not isinstance(given, (type, types.FunctionType)):
        raise Unknown(f"it is a {type(given).__name__} object with values of its own")
    if isinstance(given, types.FunctionType) and state.enclosed(given):
        raise Unknown("it depends on variables of a function around it, or wraps another one")
    found = module
    for part in given.__qualname__.split("."):
        found = getattr(found, part, None)
    # a decorator sees a class before its module has it
    if found is not given and (found is not None or _node(tree, given) is None):
        raise Unknown(f"{given.__module__}.{given.__qualname__} is something else")
    if isinstance(given, type):
        return [_of_class(base) for base in given.__mro__ if _is_local(base)]
    if Path(given.__code__.co_filename).resolve() != Path(file).resolve():
        raise Unknown("its code is of another file")
    return [state.of_function(given)]


def _is_local(base: type) -> bool:
    file = getattr(sys.modules.get(base.__module__), "__file__", None)
    return file is not None and base.__module__.split(".")[0] != "tfmeta" and not installed(Path(file).resolve())


def _of_class(kind: type) -> Watched:
    file = sys.modules[kind.__module__].__file__
    return state.of_class(kind, file, _node(code.parse(code.read(Path(file)), file), kind))


def _node(tree: Module, thing: Any) -> ClassDef | FunctionDef | None:
    own = (node for node in tree.body if isinstance(node, (ClassDef, FunctionDef)))
    return next((node for node in own if node.name == thing.__qualname__), None)


def _of_files(files: dict[Path, str], trees: tuple[AST, ...] = ()) -> _Judged:
    """Judge files and syntax trees with all local files that they import."""
    found, names = local_files.found_from(files, trees)
    # in the order of their contents, since it does not matter where the files lie
    digest = code.short("".join(sorted([code.digest(tree) for tree in (*trees, *(local.tree for local in found))])))
    watched = sorted((state.of_module(local) for local in found if local.name), key=lambda one: one.of)
    modules = frozenset(name for name in names if name.split(".")[0] == "tfmeta")
    return _Judged(Outside(digest, modules), tuple(watched))


def _of_source(thing: Any) -> _Judged:
    try:
        return _of_definition(thing)
    except Unknown as error:
        why = str(error)
    except (AttributeError, LookupError, OSError, TypeError, SyntaxError, ConfigError):
        why = "its source cannot be found"
    return _Judged(Outside("", frozenset()), why=why)


def _of_definition(thing):
    """Judge a class or function by its source; raises one of several errors if that is not enough."""
    functions = [thing] if isinstance(thing, types.FunctionType) else [one for _, one in state.methods(thing)]
    if thing.__qualname__ != thing.__name__ or any(map(state.enclosed, functions)):
        raise Unknown("it refers to variables of a function around it")
    tree = _definition(thing.__name__, [function.__code__ for function in functions])
    files, modules = {}, set()
    for variable, value in _referred(tree, functions[0].__globals__):
        if value is thing:
            continue
        name = value.__name__ if isinstance(value, types.ModuleType) else _home(variable, value)
        file = getattr(sys.modules[name], "__file__", None)
        if name.split(".")[0] == "tfmeta":
            modules.add(name)
        elif file is not None and not installed(Path(file).resolve()):
            files[Path(file).resolve()] = name
    found = _of_files(files, (tree,))
    own = state.of_function(thing)
    if isinstance(thing, type):
        own = state.of_class(thing, functions[0].__code__.co_filename, tree)
    outside = found.outside._replace(modules=found.outside.modules | modules)
    return found._replace(outside=outside, watched=(*found.watched, own))


def _definition(name: str, codes: list[types.CodeType]) -> AST:
    """Return the syntax tree of the definition of `name` that holds all of some code objects.

    `inspect.getsource` finds no class of a notebook, since such a class has no file.
    """
    if len({one.co_filename for one in codes}) != 1:
        raise Unknown("there is no code, or it is of several files")
    tree = code.parse("".join(linecache.getlines(codes[0].co_filename)), name)
    for node in tree.body:
        if isinstance(node, (ClassDef, FunctionDef)) and node.name == name:
            first = min(part.lineno for part in (node, *node.decorator_list))
            if all(first <= one.co_firstlineno <= node.end_lineno for one in codes):
                return node
    raise Unknown("there is no such definition, or a method is defined elsewhere")


def _referred(tree: AST, scope: dict[str, Any]) -> Iterator[Any]:
    """Yield the global names of a definition with what they mean; `Unknown` if one is assigned, or means nothing."""
    tables = [symtable.symtable(unparse(tree), "definition", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            name, outermost = symbol.get_name(), table.get_type() == "module"
            if symbol.is_declared_global():
                raise Unknown(f"{name} is a variable that it changes")
            if (outermost and symbol.is_referenced()) or (not outermost and symbol.is_global()):
                if name in scope:
                    yield name, scope[name]
                elif not hasattr(builtins, name):
                    raise Unknown(f"{name} is not defined")


def _home(variable: str, value: Any) -> str:
    """Return the name of the module that defines a variable's class or function; `Unknown` if none does."""
    name, found = getattr(value, "__module__", None), sys.modules.get(getattr(value, "__module__", None))
    for part in getattr(value, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    if name == "__main__" or found is not value:
        raise Unknown(f"it refers to {variable}, which no imported module defines")
    return name
