"""Digests of the package's code: what changes them, what does not, and what they cover."""

import importlib
import sys

import pytest

from tfmeta.errors import ConfigError
from tfmeta.plugins import code

SOURCE = '''"""What it is."""

import math


class One:
    """A class."""

    def two(self, x):
        """Return twice x."""
        return 2 * x  # two


async def three():
    "Three."
'''


@pytest.fixture
def package(monkeypatch, tmp_path):
    """Return a function that writes modules of a package `tfmeta` of its own; `code` reads that one."""

    def write(**sources):
        for name, source in sources.items():
            path = tmp_path / "tfmeta" / f"{name.replace('__', '/', 1)}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        monkeypatch.setattr(code, "_known", {})
        monkeypatch.setattr(code, "file_of", lambda name: code.module_file(tmp_path, name.split(".")))

    return write


def digest(source):
    return code.digest(code.parse(source, "source"))


@pytest.mark.parametrize(
    "edit",
    [
        ("What it is.", "What it was."), ("A class.", ""), ('        """Return twice x."""\n', ""), ("  # two", ""),
        ("2 * x", "(2\n    * x)"), ("import math", "import math\n# more"), ('"Three."', "pass"),
    ],
)  # fmt: skip
def test_comments_docstrings_and_line_breaks_do_not_count(edit):
    assert edit[0] in SOURCE and digest(SOURCE.replace(*edit)) == digest(SOURCE)


@pytest.mark.parametrize(
    "edit", [("2 * x", "x * 2"), ("2 * x", "2.0 * x"), ("x)", "x=1)"), ("import math", "import cmath"), ("async ", "")]
)
def test_everything_else_counts(edit):
    assert edit[0] in SOURCE and digest(SOURCE.replace(*edit)) != digest(SOURCE)


def test_what_is_no_python_is_named():
    with pytest.raises(ConfigError, match=r"mine\.py: not valid Python.*line 1"):
        code.parse("def", "mine.py")


def test_a_module_has_the_digests_of_all_that_it_imports_from_the_package(package):
    package(
        a="from tfmeta.b import something\nfrom tfmeta import f\nimport numpy",
        b="def something():\n    import tfmeta.deep.c",
        deep____init__="",
        deep__c="try:\n    from tfmeta.d import x\nexcept ImportError:\n    from . import e",
        d="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tfmeta import g\nelse:\n    import tfmeta.h",
        deep__e="", f="from tfmeta.a import b", g="", h="", not_imported="",
    )  # fmt: skip
    names = {"a", "b", "deep", "deep.c", "deep.e", "d", "f", "h"}
    assert set(code.modules("tfmeta.a")) == {f"tfmeta.{name}" for name in names}


def test_plumbing_and_what_only_it_imports_are_left_out(package):
    package(
        a="import tfmeta.store.x\nimport tfmeta.config.y\nimport tfmeta.utils.progress\nimport tfmeta.utils.seeds",
        store__x="import tfmeta.b", config__y="", utils__progress="", utils__seeds="", b="",
    )  # fmt: skip
    assert set(code.modules("tfmeta.a")) == {"tfmeta.a", "tfmeta.utils.seeds"}
    assert set(code.modules("tfmeta.a", without=("tfmeta.utils",))) == {"tfmeta.a"}


def test_what_puts_the_parts_together_counts_without_the_parts(package):
    package(run="import tfmeta.a", a="")
    assert set(code.modules("tfmeta.run")) == {"tfmeta.run"}


def test_of_a_group_of_fields_all_counts_but_the_fields(package):
    source = "from tfmeta.config.fields import number\nCOLORS = {'red': 1}\nclass TriggerConfig:\n    size: int = 4\n"
    package(a="from tfmeta.config.trigger import COLORS", config__trigger=source, config__fields="")
    before = code.modules("tfmeta.a")
    assert set(before) == {"tfmeta.a", "tfmeta.config.trigger"}
    package(config__trigger=source + "    margin: int = 2\n")
    assert code.modules("tfmeta.a") == before
    package(config__trigger=source.replace("1", "2"))
    assert code.modules("tfmeta.a") != before


def test_only_the_edited_module_gets_another_digest(package):
    package(a="import tfmeta.b", b="X = 1")
    before = code.modules("tfmeta.a")
    package(b="X = 2")
    after = code.modules("tfmeta.a")
    assert before["tfmeta.a"] == after["tfmeta.a"] and before["tfmeta.b"] != after["tfmeta.b"]


def test_a_file_edited_after_its_first_digest_has_that_until_it_is_loaded_again(tmp_path, monkeypatch):
    """The code that was imported goes on running."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(code, "_known", {})
    monkeypatch.setattr(code, "file_of", lambda name: tmp_path / "loaded_module.py")
    (tmp_path / "loaded_module.py").write_text("X = 1")
    before = code.digest_of("loaded_module")
    module = importlib.import_module("loaded_module")
    (tmp_path / "loaded_module.py").write_text("X = 22")
    assert code.digest_of("loaded_module") == before
    importlib.reload(module)
    assert module.X == 22 and code.digest_of("loaded_module") not in (before, None)
    del sys.modules["loaded_module"]
