"""Local files: what code outside the package imports that is no part of Python or of an installed package."""

import ast
import functools
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tfmeta.errors import ConfigError, PluginError
from tfmeta.plugins import code

_added: set[str] = set()  # folders of files with plug-ins


class Local(NamedTuple):
    """A local file.

    Attributes:
        name: The dotted name of its module; an empty text if it has none.
        file: Its path.
        tree: Its syntax tree.
        at_once: Whether it is imported with the code that the search began with, and not by a function later.
    """

    name: str
    file: Path
    tree: ast.Module
    at_once: bool


def add_folder(folder: Path) -> None:
    """Put the folder of a file with plug-ins at the end of Python's path, so that the file can import others there."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        _added.add(str(folder))


def found_from(files: dict[Path, str], trees: tuple[ast.AST, ...] = ()) -> tuple[list[Local], set[str]]:
    """Return files with all local files that they import, directly or not, and all dotted names that are imported.

    Args:
        files: The names of their modules, by path.
        trees: Syntax trees of a notebook's code in the working folder, which count like files.

    Raises:
        ConfigError: a file cannot be read or is not Python.
    """
    found: dict[Path, Local] = {}
    names = {name for tree in trees for name in code.imports(tree)}
    pending = [(name, file, True) for file, name in files.items()]
    pending += [(*local, False) for name in names for local in _read_by(Path.cwd() / "notebook", name)]
    while pending:
        name, file, at_once = pending.pop()
        if file in found and found[file].at_once >= at_once:
            continue
        tree = found[file].tree if file in found else code.parse(code.read(file), str(file))
        found[file] = Local(name, file, tree, at_once)
        package = _package(file)[1]
        imported = code.imports(tree, package)
        early = code.imports(ast.Module([*_outside_functions(tree)], []), package)
        names |= imported
        pending += [(*local, at_once and one in early) for one in imported for local in _read_by(file, one)]
    return list(found.values()), names


def check_imported(path: Path, name: str) -> None:
    """Raise `PluginError` if Python runs another local file than the one that a file of plug-ins means by a name.

    Modules are shared, so of two files named helper.py in two folders only the first is ever imported.
    """
    for local in found_from({path: name})[0]:
        module = sys.modules.get(local.name)
        other = getattr(module, "__file__", None) if module else _first_on_path(local.name)
        if other and Path(other).resolve() != local.file and not installed(Path(other).resolve()):
            when = "was already imported" if module else "is imported"
            raise PluginError(
                f"{path} needs {local.name} from {local.file}, but {local.name} {when} from {other}: rename one of the "
                "two files"
            )


def installed(path: Path) -> bool:
    """Return whether a path is within Python or its installed packages."""
    return any(path.is_relative_to(folder) for folder in _installed_folders())


def _first_on_path(name):
    places, parts = [Path(place or ".").resolve() for place in sys.path], name.split(".")
    place = _place(places, parts[0])
    return None if place is None else code.module_file(place, parts)


def _outside_functions(tree: ast.AST) -> Iterator[ast.stmt]:
    """Yield the imports that run when a module is imported."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            pending += ast.iter_child_nodes(node)


def _read_by(file: Path, name: str) -> Iterator[tuple[str, Path]]:
    """Yield the local files that an import of a dotted name in `file` reads: of `a.b`, those of `a` and of `a.b`.

    Like Python, it takes the first folder of the path that has `a`. The folder of the file comes after those that were
    there before any plug-in.
    """
    parts, (root, package) = name.split("."), _package(file)
    if parts[0] in ("tfmeta", "", *sys.builtin_module_names):
        return
    own = package.split(".")[0] == parts[0]
    before, added = [place for place in sys.path if place not in _added], [p for p in sys.path if p in _added]
    places = [Path(place or ".").resolve() for place in (*before, file.parent, *added)]
    place = _place([root] if own else places, parts[0])
    if place is None or (installed(place) and not own):
        return
    for length in range(1, len(parts) + 1):
        if found := code.module_file(place, parts[:length]):
            yield ".".join(parts[:length]), found.resolve()


def _place(places: list[Path], name: str) -> Path | None:
    """Return the folder that has a module, or else a folder without __init__.py, as Python decides it."""
    whole = (place for place in places if code.module_file(place, [name]))
    folder = (place for place in places if (place / name).is_dir())
    return next(whole, next(folder, None))


def _package(file: Path) -> tuple[Path, str]:
    """Return the folder that a file's outermost package lies in, and the dotted name of the package that it is in."""
    folder, names = file.parent, []
    while (folder / "__init__.py").is_file():
        names.append(folder.name)
        folder = folder.parent
    return folder, ".".join(reversed(names))


@functools.cache
def _installed_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    named = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(Path(name).resolve() for name in [*named, *site.getsitepackages(), site.getusersitepackages()])


def check_all(modules: dict[str, str]) -> None:
    """Check files of plug-ins, by the names of their modules; one that was edited since and is broken is left out."""
    for name, file in modules.items():
        try:
            check_imported(Path(file), name)
        except ConfigError as error:
            if isinstance(error, PluginError):
                raise
