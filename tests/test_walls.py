"""The walls between packages: which may import which, at module level."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# A package may import those of earlier rows, and itself.
ROWS = (
    ("errors", "registry", "utils"),
    ("config", "store"),
    ("plugins",),
    ("models", "datasets"),
    ("meta_learning",),
    ("attacks",),
    ("defences", "aggregations", "federated"),
    ("estimate", "inventory"),
    ("run", "simulation"),
)
RANK = {name: number for number, row in enumerate(ROWS) for name in row}
FIGURES = {"config", "errors", "registry", "store"}


def module_level_imports(file):
    """Yield the dotted names that a file imports when it is imported itself, `TYPE_CHECKING` blocks aside."""
    pending = list(ast.parse(file.read_text(encoding="utf-8")).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            pending += ast.iter_child_nodes(node)


FILES = sorted(file for folder in ("tfmeta", "experiments", "figures") for file in (ROOT / folder).rglob("*.py"))


def imports_of(file, package):
    """Return the parts of `package` (its modules or packages) that a file imports."""
    names = (name.split(".") for name in module_level_imports(file))
    return {name[1] for name in names if name[0] == package and len(name) > 1}


@pytest.mark.parametrize("file", [file for file in FILES if file.is_relative_to(ROOT / "tfmeta")], ids=str)
def test_imports_of_the_package_go_one_way(file):
    names = {name.split(".")[0] for name in module_level_imports(file)}
    assert not names & {"experiments", "figures"}
    own = file.relative_to(ROOT / "tfmeta").parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    for other in imports_of(file, "tfmeta") - {"__version__"}:
        allowed = RANK[other] <= RANK[own]
        assert allowed, f"{file.relative_to(ROOT)} imports tfmeta.{other}, which stands above tfmeta.{own}"


@pytest.mark.parametrize("file", [f for f in FILES if not f.is_relative_to(ROOT / "tfmeta/federated/tff")], ids=str)
def test_only_the_federated_shell_imports_tff(file):
    assert not {name for name in module_level_imports(file) if name.split(".")[0] == "tensorflow_federated"}
    if not file.is_relative_to(ROOT / "experiments"):
        assert not {name for name in module_level_imports(file) if name.startswith("tfmeta.federated.tff.")}


@pytest.mark.parametrize("file", [file for file in FILES if file.is_relative_to(ROOT / "figures")], ids=str)
def test_figures_read_the_store_and_nothing_else(file):
    assert "experiments" not in {name.split(".")[0] for name in module_level_imports(file)}
    assert imports_of(file, "tfmeta") <= FIGURES


@pytest.mark.parametrize("package", ["tfmeta", "tfmeta.registry", "tfmeta.simulation", "experiments", "figures"])
def test_importing_loads_no_tensorflow(package):
    code = f"import sys, {package}; print([name for name in sys.modules if name.startswith('tensorflow')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert loaded.stdout.strip() == "[]"
