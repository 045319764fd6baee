"""What code outside the package does beside what its text says: values that were set after its files were imported.

Values count if they are numbers, texts, None, or tuples of such. A value that a file writes as a literal counts only
when it is another one now, so that the digest of a file alone stays the same wherever it is imported.
"""

import ast
import dataclasses
import dis
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tfmeta.plugins.local_files import Local

_OF_DATACLASSES = ("<string>", dataclasses.__file__)  # files of the methods that `dataclass` adds
_OF_PLUGINS = ("NAME",)  # class variables that registering sets
_PLAIN = (int, float, complex, str, bytes, types.NoneType)
_MISSING = object()


class Unknown(LookupError):
    """What a definition does cannot be told from its source; the message says why."""


class Watched(NamedTuple):
    """A module, by its name and file, or a class or function, with what its source says of its variables.

    Attributes:
        of: The module's name, or the class or function itself.
        file: The module's file; for a class the file that its methods are of.
        literals: The values that the source gives to variables as literals.
        skipped: Variables that the code changes itself.
        all: Whether variables count too that the source computes or does not have.
    """

    of: Any
    file: str
    literals: dict[str, Any]
    skipped: frozenset[str]
    all: bool


def of_module(local: Local) -> Watched:
    """Return the variables of a local file's module."""
    own = {name for node in ast.walk(local.tree) if isinstance(node, ast.Global) for name in node.names}
    # a module that only a function imports may be there or not
    return Watched(local.name, str(local.file), _literals(local.tree.body), frozenset(own), local.at_once)


def of_class(kind: type, file: str, tree: ast.ClassDef | None) -> Watched:
    """Return the variables and methods of a class whose definition is `tree` in `file`."""
    return Watched(kind, file, _literals(tree.body if tree else []), frozenset(_OF_PLUGINS), True)


def of_function(function: types.FunctionType) -> Watched:
    """Return the attributes of a function."""
    return Watched(function, "", {}, frozenset(), True)


def changed(watched: Watched) -> list[str]:
    """Return what is now beside the source, a line for each variable or method.

    Raises:
        Unknown: a variable has become a value that has no short text, or a method depends on variables around it.
    """
    values = _values(watched)
    label = watched.of if isinstance(watched.of, str) else watched.of.__qualname__
    found = list(_foreign_methods(watched)) if isinstance(watched.of, type) else []
    for name, value in sorted(values.items()):
        if name in watched.skipped or name.startswith("__"):
            continue
        known = watched.literals.get(name, _MISSING)
        if known is _MISSING and not watched.all:
            continue
        text = plain(value)
        if text is None and (plain(known) is not None or isinstance(watched.of, types.FunctionType)):
            raise Unknown(f"{label}.{name} is {type(value).__name__}, which its source does not say")
        if text is not None and text != plain(known):
            found.append(f"{label}.{name}={text}")
    return found


def plain(value: Any) -> str | None:
    """Return a plain value as text with its type; None if it is not plain."""
    if isinstance(value, tuple):
        parts = [plain(one) for one in value]
        return None if None in parts else f"({','.join(parts)})"
    return f"{type(value).__name__}:{value!r}" if isinstance(value, _PLAIN) else None


def around(thing: Any) -> list[str]:
    """Return the plain values that a function, the methods of a class or of a bound method's object find around them.

    They tell apart what one object does at different times, but not what it does: other values are not looked at.
    """
    owner = getattr(thing, "__self__", None)
    function = getattr(thing, "__func__", thing)
    functions = list(map(_bare, vars(thing).values())) if isinstance(thing, type) else [function]
    found = _plain_values(vars(thing) if isinstance(thing, type) else getattr(owner, "__dict__", {}))
    for one in (one for one in functions if isinstance(one, types.FunctionType)):
        cells = zip(one.__code__.co_freevars, one.__closure__ or (), strict=True)
        found += _plain_values({name: _content(cell) for name, cell in cells})
        steps = list(dis.get_instructions(one.__code__))
        used, stored = ({s.argval for s in steps if s.opname == f"{what}_GLOBAL"} for what in ("LOAD", "STORE"))
        found += _plain_values({name: one.__globals__.get(name, _MISSING) for name in used - stored})
        found += [*_plain_values(vars(one)), str(plain(one.__defaults__ or ()))]
    return found


def methods(kind: type) -> Iterator[tuple[str, types.FunctionType]]:
    """Yield the functions that a class's own body has, by name, but for those that `dataclass` adds."""
    for name, value in vars(kind).items():
        value = _bare(value)
        if isinstance(value, types.FunctionType) and value.__code__.co_filename not in _OF_DATACLASSES:
            yield name, value


def enclosed(function: types.FunctionType) -> bool:
    """Return whether a function refers to variables of a function around it, or wraps another one."""
    free = set(function.__code__.co_freevars) <= {"__class__"}  # which `super()` uses
    return not free or hasattr(function, "__wrapped__")


def _bare(value):
    return value.fget if isinstance(value, property) else getattr(value, "__func__", value)


def _content(cell):
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _MISSING


def _plain_values(values: Mapping[str, Any]) -> list[str]:
    found = {name: plain(value) for name, value in values.items() if name not in (*_OF_PLUGINS, "__module__")}
    return [f"{name}={text}" for name, text in sorted(found.items()) if text is not None]


def _values(watched: Watched) -> dict[str, Any]:
    if not isinstance(watched.of, str):
        return dict(vars(watched.of))
    module = sys.modules.get(watched.of)
    file = getattr(module, "__file__", None)
    return dict(vars(module)) if file and str(Path(file).resolve()) == watched.file else {}


def _foreign_methods(watched: Watched) -> Iterator[str]:
    """Yield the methods of a class that another definition made; raises `Unknown` if that is not enough to know."""
    kind = watched.of
    for name, function in methods(kind):
        if enclosed(function):
            raise Unknown(f"{kind.__qualname__}.{name} depends on variables of a function around it")
        if function.__qualname__ != f"{kind.__qualname__}.{name}" or function.__code__.co_filename != watched.file:
            if "<" in function.__qualname__:
                raise Unknown(f"{kind.__qualname__}.{name} was made by a function or is a lambda")
            yield f"{kind.__qualname__}.{name}={function.__module__}.{function.__qualname__}"


def _literals(body: list[ast.stmt]) -> dict[str, Any]:
    """Return the values that statements assign once, as literals, by the names of the variables."""
    found, tree = {}, ast.Module(body, [])
    stored = [node.id for node in _names(tree) if isinstance(node.ctx, ast.Store)]
    for line in body:
        targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
        if isinstance(line, (ast.Assign, ast.AnnAssign)) and len(targets) == 1 and isinstance(targets[0], ast.Name):
            try:
                found[targets[0].id] = ast.literal_eval(line.value)
            except (TypeError, ValueError):  # not a literal, or no value
                continue
    return {name: value for name, value in found.items() if stored.count(name) == 1}


def _names(tree: ast.AST) -> Iterator[ast.Name]:
    """Yield the names in statements, but not those inside functions and classes."""
    pending = list(ast.iter_child_nodes(tree))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Name):
            yield node
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            pending += ast.iter_child_nodes(node)
