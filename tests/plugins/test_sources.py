"""Digests of code outside the package: files, and what notebooks and scripts define."""

import linecache
import subprocess
import sys
import types

import pytest

from tfmeta.defences.base import Defence
from tfmeta.errors import ConfigError
from tfmeta.plugins import local_files, sources

MINE = """
import numpy as np
import tensorflow as tf
import helper
from tfmeta.defences.base import Defence

class Mine(Defence):
    def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):
        from deeper.still import value
        return value
"""


@pytest.fixture
def folder(tmp_path):
    """A plug-in's file, with others that it imports beside it."""
    (tmp_path / "deeper").mkdir()
    files = {"mine": MINE, "helper": "import second", "second": "X = 1", "deeper/still": "value = 1", "other": "Y = 1"}
    for name, source in files.items():
        (tmp_path / f"{name}.py").write_text(source)
    return tmp_path


def test_a_file_names_what_it_imports_from_the_package(folder):
    found = sources.file_digest(folder / "mine.py")
    assert "tfmeta.defences.base" in found.modules and not any(name.startswith("numpy") for name in found.modules)


@pytest.mark.parametrize("name", ["mine", "helper", "second", "deeper/still"])
def test_an_edit_of_a_file_or_of_a_local_file_that_it_imports_changes_the_digest(folder, name):
    before = sources.file_digest(folder / "mine.py").digest
    path = folder / f"{name}.py"
    path.write_text(path.read_text() + "\n# nothing\n")
    assert sources.file_digest(folder / "mine.py").digest == before
    path.write_text(path.read_text() + "\nZ = 3\n")
    assert sources.file_digest(folder / "mine.py").digest != before


def test_other_files_and_places_do_not_change_the_digest(folder, tmp_path_factory):
    before = sources.file_digest(folder / "mine.py")
    (folder / "other.py").write_text("Y = 2")
    moved = tmp_path_factory.mktemp("moved") / "there"
    folder.rename(moved)
    assert sources.file_digest(moved / "mine.py") == before


def test_a_package_of_ones_own_counts_wherever_it_is_installed(tmp_path, monkeypatch):
    """As a plug-in of an installed package is: its own modules count, those of others do not."""
    monkeypatch.setattr(local_files, "_installed_folders", lambda: (tmp_path,))
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "their_package"
    (package / "inner").mkdir(parents=True)
    for name, source in {
        "__init__": "", "defence": "from their_package import used\nfrom .inner import below\nimport foreign",
        "used": "", "inner/__init__": "", "inner/below": "from .. import above", "above": "", "unused": "",
    }.items():  # fmt: skip
        (package / f"{name}.py").write_text(source)
    (tmp_path / "foreign.py").write_text("")
    before = sources.file_digest(package / "defence.py").digest
    for path, counts in (
        (package / "used.py", True), (package / "inner/below.py", True), (package / "inner/__init__.py", True),
        (package / "above.py", True), (package / "__init__.py", True), (package / "unused.py", False),
        (tmp_path / "foreign.py", False),
    ):  # fmt: skip
        path.write_text("EDITED = 1\n" + path.read_text())
        after = sources.file_digest(package / "defence.py").digest
        assert (after != before) == counts, path
        before = after


def test_a_local_file_found_on_the_path_counts(tmp_path, monkeypatch, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.syspath_prepend(elsewhere)
    (tmp_path / "mine.py").write_text("import on_the_path")
    (elsewhere / "on_the_path.py").write_text("X = 1")
    before = sources.file_digest(tmp_path / "mine.py").digest
    (elsewhere / "on_the_path.py").write_text("X = 2")
    assert sources.file_digest(tmp_path / "mine.py").digest != before


def test_a_broken_or_missing_local_file_is_named(tmp_path):
    (tmp_path / "mine.py").write_text("import broken")
    (tmp_path / "broken.py").write_text("def")
    with pytest.raises(ConfigError, match=r"broken\.py: not valid Python"):
        sources.file_digest(tmp_path / "mine.py")
    with pytest.raises(ConfigError, match=r"missing\.py: cannot be read"):
        sources.file_digest(tmp_path / "missing.py")


def cell(source, name="One", number=[0]):  # noqa: B006 - counts cells
    """Define something as a notebook does: in `__main__`, without a file, its lines known to `linecache`."""
    number[0] += 1
    file = f"<cell {number[0]}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope = {"__name__": "__main__"}
    exec(compile(source, file, "exec"), scope)
    return scope[name]


WHOLE = """
import dataclasses
import numpy as np
from tfmeta.plugins import number
from tfmeta.utils.seeds import fold

@dataclasses.dataclass(frozen=True)
class One:
    '''Doubles.'''
    share: float = number(0.5, "the share", 0, 1)

    def call(self, x):
        return np.float32(2) * self.helper(x) + fold(x, len("ab"))

    @staticmethod
    def helper(x):
        return [x for x in range(int(x))]
"""


def test_a_class_of_a_notebook_is_judged_by_its_source():
    found = sources.source_digest(cell(WHOLE))
    assert not found.digest.startswith("of-process")
    assert {"tfmeta.utils.seeds"} <= found.modules
    assert sources.source_digest(cell("\n\n" + WHOLE.replace("'''Doubles.'''", ""))) == found
    assert sources.source_digest(cell(WHOLE.replace("float32(2)", "float32(3)"))).digest != found.digest


PLUGIN = """
import tensorflow as tf
from tfmeta.defences.base import Defence
from tfmeta.defences.fine_tuning import FineTuning
from tfmeta.plugins import number, shared

class One(Defence):
    share: float = 0.5
    delta: float = shared()

    @property
    def head(self):
        return "softmax"

    def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):
        weights = [self.share * weight for weight in weights]
        return FineTuning().adapt(model, evaluation, weights, support, labels, query_groups, seed, points)
"""


def test_a_plug_in_of_a_notebook_is_recoverable_and_names_what_it_builds_on():
    found = sources.digest_of(cell(PLUGIN))
    assert sources.digest_of(cell(PLUGIN)) == found and not found.digest.startswith("of-process")
    assert {"tfmeta.defences.base", "tfmeta.defences.fine_tuning"} <= found.modules


FUNCTION = "import math\ndef One(x, y=1):\n    return math.sqrt(x) + y\n"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("K = 2\n" + FUNCTION.replace("+ y", "+ K"), "a variable"),
        ("K = 2\n" + FUNCTION.replace("y=1", "y=K"), "a default from a variable"),
        ("def f(x):\n    return x\n" + FUNCTION.replace("+ y", "+ f(y)"), "another function"),
        ("class Base: pass\nclass One(Base):\n    def f(self): pass\n", "another class"),
        ("def outer(k):\n    def One():\n        return k\n    return One\nOne = outer(2)\n", "a closure"),
        ("One = lambda x: x\n", "a lambda"),
        (FUNCTION.replace("return", "global n; n = 1; return"), "a variable that it changes"),
        ("class One:\n    def f(self): pass\ndef g(self): return 1\nOne.f = g\n", "a method from elsewhere"),
        ("class One:\n    pass\n", "no code to find the source by"),
        ("import functools\nOne = functools.partial(print, 1)\n", "no function"),
    ],
    ids=lambda given: given if "\n" not in given else "",
)
def test_what_refers_to_the_rest_of_a_notebook_is_of_this_process_alone(source, why):
    first, second = cell(source), cell(source)
    found = sources.digest_of(first)
    assert found.digest.startswith("of-process-")
    assert sources.digest_of(first) == found  # within the process it is reused
    assert sources.digest_of(second) != found


def test_a_function_of_a_notebook_that_refers_to_modules_alone_is_recoverable():
    assert sources.digest_of(cell(FUNCTION)) == sources.digest_of(cell(FUNCTION))


def test_a_local_module_that_a_notebook_uses_counts(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "beside_notebook.py").write_text("def f(x):\n    return x\n")
    source = "from beside_notebook import f\ndef One(x):\n    return f(x)\n"
    before = sources.source_digest(cell(source)).digest
    assert not before.startswith("of-process")
    (tmp_path / "beside_notebook.py").write_text("def f(x):\n    return 2 * x\n")
    assert sources.source_digest(cell(source)).digest != before
    del sys.modules["beside_notebook"]


def test_two_processes_share_what_is_recoverable_and_nothing_else(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from tfmeta.plugins import sources\nimport math\n"
        "def plain(x):\n    return math.sqrt(x)\n"
        "def outer(k):\n    def inner(x):\n        return k * x\n    return inner\n"
        "print(sources.digest_of(plain).digest, sources.digest_of(outer(2)).digest)\n"
    )
    run = [subprocess.run([sys.executable, script], capture_output=True, text=True, check=True) for _ in range(2)]
    (plain, closure), (again, other) = (done.stdout.split() for done in run)
    assert plain == again and closure != other


def test_a_class_that_is_made_of_something_is_judged_by_that():
    given = cell(FUNCTION)
    made = type("Made", (), {"__module__": "__main__", "GIVEN": given})
    assert sources.digest_of(made) == sources.digest_of(given)


def test_a_class_that_is_made_of_a_text_is_judged_by_the_text_and_its_bases():
    """As one that is made of a Keras model is."""
    one, same, other = (
        type(Defence)("Made", (Defence,), {"__module__": "__main__", "GIVEN": text}) for text in ("one", "one", "other")
    )
    found = sources.digest_of(one)
    assert sources.digest_of(same) == found and sources.digest_of(other).digest != found.digest
    assert "tfmeta.defences.base" in found.modules


def test_a_class_of_a_file_is_judged_by_the_file_as_it_was_first(folder, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    module = types.ModuleType("mine_of_file")
    module.__file__ = str(folder / "other.py")
    monkeypatch.setitem(sys.modules, "mine_of_file", module)
    module.Kind = kind = type("Kind", (), {"__module__": "mine_of_file"})
    expected = sources.file_digest(folder / "other.py")
    assert sources.digest_of(kind) == expected
    (folder / "other.py").write_text("Y = 3")
    assert sources.digest_of(kind) == expected
