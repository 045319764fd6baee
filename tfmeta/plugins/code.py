"""Digests of code: they tell whether the code that computed a stored number is the code that is here now.

A digest is over syntax trees without docstrings, so comments, docstrings and line breaks change none. Files are found
by name and read; no module is imported for its digest, so none of this loads TensorFlow.
"""

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from tfmeta.errors import ConfigError
from tfmeta.utils import files

# Modules that compute no number: values of fields are compared by themselves, images have a digest, and the rest finds,
# stores, shows or starts things. What only they import is not followed either.
PLUMBING = (
    "tfmeta.config", "tfmeta.errors", "tfmeta.plugins", "tfmeta.store",
    "tfmeta.utils.files", "tfmeta.utils.parallel", "tfmeta.utils.printable", "tfmeta.utils.progress",
    "tfmeta.utils.threads", "tfmeta.datasets.checks",
    "tfmeta.datasets.image_bank", "tfmeta.datasets.opening", "tfmeta.federated.opening", "tfmeta.federated.tff.runtime",
    "tfmeta.federated.tff.worker",
    "experiments.cli", "experiments.stored",
)  # fmt: skip
# Of these, all counts but the fields in them: the triggers' colours, the rounds that a word stands for.
BESIDE_FIELDS = ("tfmeta.config.attack", "tfmeta.config.trigger")
# These put the parts together, which counts. What they import does not: they know all parts, those of later stages too.
ALONE = ("tfmeta.registry", "tfmeta.run", "tfmeta.simulation")
_PACKAGES = ("tfmeta", "experiments")
_DIGITS = 16
LARGEST = 16 << 20  # bytes of a source file
_PARTS = ("body", "orelse", "finalbody", "handlers", "cases")  # where statements hold statements


class Module(NamedTuple):
    """What was read of one module: the digest, the names that it imports, and the spec that it was loaded with."""

    digest: str
    imports: frozenset[str]
    spec: ModuleSpec | None


_known: dict[str, Module | None] = {}


def modules(*names: str, without: Iterable[str] = ()) -> dict[str, str]:
    """Return the digests of modules of tfmeta and of all that they import from it, by name.

    Imports inside functions count, those for type checkers do not. A digest is taken once per process, since the code
    that was imported goes on running when its file is edited; `importlib.reload` makes it anew.

    Args:
        *names: Modules of `tfmeta` or `experiments`. `experiments` is followed within itself only.
        without: Modules or packages that are left out like `PLUMBING`, with what only they import.
    """
    found: dict[str, str] = {}
    pending, left_out = list(names), (*PLUMBING, *without)
    while pending:
        name = pending.pop()
        if name in found or name in _PACKAGES or (_within(name, left_out) and name not in BESIDE_FIELDS):
            continue
        module = _module(name)
        if module is not None:
            found[name] = module.digest
            followed = _PACKAGES if _within(name, ("tfmeta",)) else ("experiments",)
            pending += [name.rpartition(".")[0] or name]  # its package's __init__.py runs first
            pending += [other for other in module.imports if _within(other, followed) and name not in ALONE]
    return dict(sorted(found.items()))


def digest_of(name: str) -> str | None:
    """Return the digest of one module of tfmeta, or None if there is no such module."""
    module = _module(name)
    return None if module is None else module.digest


def parse(source: bytes | str, name: str) -> ast.Module:
    """Return the syntax tree of some source without its docstrings.

    Raises:
        ConfigError: the source is not Python; the message starts with `name`.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"{name}: not valid Python ({error}); correct the file") from error
    for node in _statements(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and _docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def digest(*trees: ast.AST) -> str:
    """Return a digest over syntax trees; line numbers do not count."""
    return short("\n".join(map(ast.dump, trees)))


def short(text: str) -> str:
    """Return a short digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def imports(tree: ast.AST, package: str = "") -> set[str]:
    """Return the dotted names that some source imports, anywhere but for type checkers.

    Of `from a import b`, these are both a and a.b.

    Args:
        tree: The source's syntax tree.
        package: The package that the source belongs to, for relative imports.
    """
    found: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            found |= {origin, *(f"{origin}.{alias.name}" for alias in node.names)}
    return found


def file_of(name: str) -> Path | None:
    """Return the file of a module of tfmeta or experiments; None if there is none."""
    top, *rest = name.split(".")
    spec = find_spec(top)  # of a package at the top: found, not imported
    if spec is None or not spec.submodule_search_locations:
        return None
    return module_file(Path(spec.submodule_search_locations[0]), rest)


def module_file(folder: Path, parts: Iterable[str]) -> Path | None:
    """Return the file of the module, or package, that some parts of a dotted name mean in a folder, or None."""
    base = folder.joinpath(*parts)
    candidates = (base / "__init__.py", base.parent / f"{base.name}.py")
    return next((file for file in candidates if file.is_file()), None)


def read(path: Path) -> bytes:
    """Return the bytes of a source file.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return files.read(path, LARGEST)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a Python file") from error


def _module(name: str) -> Module | None:
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if name not in _known or _reloaded(_known[name], spec):
        file = file_of(name)
        if file is None:
            _known[name] = None
        else:
            tree = parse(read(file), str(file))
            for node in tree.body if name in BESIDE_FIELDS else ():
                if isinstance(node, ast.ClassDef):
                    node.body = [line for line in node.body if not isinstance(line, ast.AnnAssign)]
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            _known[name] = Module(digest(tree), frozenset(imports(tree, package)), spec)
    elif _known[name] is not None and spec is not None:
        _known[name] = _known[name]._replace(spec=spec)
    return _known[name]


def _reloaded(module: Module | None, spec: ModuleSpec | None) -> bool:
    return module is not None and module.spec is not None and spec is not None and spec is not module.spec


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield a tree and the statements in it, but for those that only type checkers see."""
    pending = [tree]
    while pending:
        yield (node := pending.pop())
        parts = ("orelse",) if _name_of(getattr(node, "test", None)) == "TYPE_CHECKING" else _PARTS
        for part in parts:
            pending += inside if isinstance(inside := getattr(node, part, ()), list) else ()


def _name_of(node: ast.AST | None) -> str | None:
    return getattr(node, "id", getattr(node, "attr", None))  # of `TYPE_CHECKING` and `typing.TYPE_CHECKING`


def _within(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _docstring(node: ast.AST) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
