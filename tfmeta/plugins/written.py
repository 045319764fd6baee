"""Plug-ins as they are written: a file's class and its options, read from the file without importing it.

So listing plug-ins and checking a configuration load no TensorFlow, and a package that does not import harms nobody
who does not use it.
"""

import ast
import dataclasses
import functools
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from tfmeta import registry
from tfmeta.config.fields import number, word
from tfmeta.errors import PluginError
from tfmeta.plugins.base import TYPES, option_of


class Written(NamedTuple):
    """What the source says of a plug-in: its class's name, what it is in a sentence, and its options by name."""

    name: str
    doc: str
    options: dict[str, dataclasses.Field]


class _Source(NamedTuple):
    """A module's source: its file, its classes, and what its imports mean by the names that they give."""

    file: Path
    classes: dict[str, ast.ClassDef]
    imported: dict[str, str]


class _Class(NamedTuple):
    """A class by its module and its name."""

    module: str
    name: str


@functools.cache
def classes_in(module: str, kind: str) -> tuple[str, ...]:
    """Return the names of a module's public classes that are plug-ins of a kind; none if there is no such module."""
    source = _source(module)
    own = () if source is None else (name for name in source.classes if not name.startswith("_"))
    return tuple(name for name in own if _is_of_kind(kind, _Class(module, name)))


@functools.cache
def read(kind: str, module: str, name: str) -> Written:
    """Return what a module's source says of its class `name`, with the options that the class inherits.

    Raises:
        PluginError: there is no such class of that kind, or an option is not written as a literal.
    """
    source = _source(module)
    if source is None or name not in source.classes or not _is_of_kind(kind, _Class(module, name)):
        raise PluginError(f"{module} defines no class {name} that is derived from {registry.KINDS[kind].base}")
    options: dict[str, dataclasses.Field] = {}
    for one in _lineage(_Class(module, name)):
        options |= dict(_options_of(kind, one))
    doc = ast.get_docstring(source.classes[name]) or ""
    return Written(name, doc.partition("\n")[0], options)


@functools.cache
def _source(module: str) -> _Source | None:
    """Return a module's source, or None for Python's own and for one without a Python file; none is imported."""
    top, *parts = module.split(".")
    spec = None if top in sys.stdlib_module_names else find_spec(top)
    if spec is None:
        return None
    bases = [Path(folder).joinpath(*parts) for folder in spec.submodule_search_locations or ()]
    files = [file for base in bases for file in (base / "__init__.py", base.with_name(f"{base.name}.py"))]
    files += [Path(spec.origin)] if spec.origin and not parts else []
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return None
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise PluginError(f"{file}, line {getattr(error, 'lineno', 1)}: not valid Python ({error})") from error
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    return _Source(file, classes, dict(_imported(tree, package)))


def _imported(tree: ast.Module, package: str) -> Iterator[tuple[str, str]]:
    """Yield the names that module-level imports give, each with the dotted name that it means."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            for one in node.names:
                yield (one.asname, one.name) if one.asname else (one.name.partition(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((one.asname or one.name, f"{origin}.{one.name}") for one in node.names)


def _lineage(one: _Class) -> list[_Class]:
    """Return a class after all classes that it is derived from, as far as their sources are found."""
    bases = reversed(_source(one.module).classes[one.name].bases)
    above = [found for base in bases if (found := _resolved(one.module, ast.unparse(base)))]
    return list(dict.fromkeys([*(ancestor for base in above for ancestor in _lineage(base)), one]))


def _resolved(module: str, dotted: str) -> _Class | None:
    """Return the class that a dotted name means in a module's source, or None."""
    source = _source(module)
    if source is None or dotted in source.classes:
        return source and _Class(module, dotted)
    first, _, rest = dotted.partition(".")
    if first not in source.imported:
        return None
    there, _, name = f"{source.imported[first]}.{rest}".rstrip(".").rpartition(".")
    return _resolved(there, name) if there and there != module else None


def _is_of_kind(kind: str, one: _Class) -> bool:
    about = registry.KINDS[kind]
    return _Class(f"{about.package}.base", about.base) in _lineage(one)[:-1]


def _options_of(kind: str, one: _Class) -> Iterator[tuple[str, dataclasses.Field]]:
    """Yield the options that a class's own body defines; `PluginError` for one that is not written as a literal."""
    source = _source(one.module)
    for line in source.classes[one.name].body:
        if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)):
            continue
        annotation = ast.unparse(line.annotation).strip("'\"")
        if annotation.split("[")[0].rpartition(".")[2] == "ClassVar":
            continue
        where = f"{source.file}, line {line.lineno}: {one.name}.{line.target.id}"
        yield line.target.id, option_of(kind, where, line.target.id, TYPES.get(annotation), _field(line.value, where))


def _field(value: ast.expr | None, where: str) -> dataclasses.Field:
    """Return the dataclass field that an option's right-hand side makes."""
    try:
        if value is None:
            return dataclasses.field()
        if not isinstance(value, ast.Call):
            return dataclasses.field(default=ast.literal_eval(value))
        function = ast.unparse(value.func).rpartition(".")[2]
        if function == "shared":
            return dataclasses.field(default=None, metadata={"shared": True})
        return _MAKERS[function](*map(ast.literal_eval, value.args), **_keywords(value))
    except (KeyError, TypeError, ValueError) as error:
        raise PluginError(
            f"{where} is read without running the file: write it as a literal, or with number(...), word(...) or "
            "shared() of literals"
        ) from error


def _keywords(call: ast.Call) -> dict[str, Any]:
    return {one.arg: ast.literal_eval(one.value) for one in call.keywords}


_MAKERS = {"number": number, "word": word}
