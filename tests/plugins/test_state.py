"""Values that were set after a file was imported count in its digest."""

import importlib
import itertools
import logging
import sys

import numpy as np
import pytest

from tfmeta.plugins import sources

NAMES = (f"module_of_state_{number}" for number in itertools.count())
MODULE = """
import functools

FACTOR = 0.5
HALF = 1 / 2
TWO = (0.5, "a")
calls = 0
cache = {}

class Kind:
    factor = 0.5
    share: float = 0.25

    def adapt(self):
        return self.factor

    def other(self):
        return 1

class Below(Kind):
    def adapt(self):
        return FACTOR

def plain(x):
    global calls
    calls += 1
    return FACTOR * x

def scaled(function, factor):
    @functools.wraps(function)
    def inner(x):
        return factor * function(x)
    return inner

def plain_of_wraps(x):
    return x
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Makes and imports a module with the source, each time under a new name; removes all."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def module(source=MODULE):
        made.append(next(NAMES))
        (tmp_path / f"{made[-1]}.py").write_text(source)
        importlib.invalidate_caches()
        return importlib.import_module(made[-1])

    yield module
    for name in made:
        del sys.modules[name]


def digest(thing):
    return sources.digest_of(thing).digest


def test_what_the_file_says_is_the_same_for_all(make):
    module = make()
    alone = [digest(thing) for thing in (module.plain, module.plain_of_wraps)]
    assert len(set(alone)) == 1 and not alone[0].startswith("of-process")
    module.plain(1)
    module.cache["a"] = 1
    assert digest(module.plain) == alone[0]  # its own counters and caches


@pytest.mark.parametrize(("name", "value"), [("FACTOR", 0.3), ("HALF", 0.3), ("TWO", (0.3, "a")), ("NEW", "a")])
def test_a_variable_of_a_module_counts(make, name, value):
    module = make()
    things = module.plain, module.Kind, module.Below
    before = list(map(digest, things))
    setattr(module, name, value)
    after = list(map(digest, things))
    assert not set(before) & set(after) and not any(one.startswith("of-process") for one in after)
    assert digest(module.plain) == after[0]  # each time


def test_a_variable_of_a_module_that_it_imports_counts(make):
    helper = make()
    for source in ("import {}\ndef f():\n    return 1\n", "def f():\n    import {}\n"):
        module = make(source.format(helper.__name__))
        before = digest(module.f)
        helper.FACTOR = 0.3
        assert digest(module.f) != before
        helper.FACTOR = 0.5
        assert digest(module.f) == before


def test_a_module_that_is_imported_later_changes_nothing(make, tmp_path):
    (tmp_path / "later_of_state.py").write_text("X = 1\nY = X + 1\n")
    module = make("def f():\n    import later_of_state\n")
    before = digest(module.f)
    module.f()
    assert digest(module.f) == before
    del sys.modules["later_of_state"]


@pytest.mark.parametrize("of", ["Kind", "Below"])
def test_a_variable_of_a_class_or_of_its_base_counts(make, of):
    module = make()
    before = digest(getattr(module, of))
    module.Kind.factor = 0.3
    assert digest(getattr(module, of)) != before
    module.Kind.factor = 0.5
    assert digest(getattr(module, of)) == before


def test_an_attribute_of_a_function_counts(make):
    module = make()
    before = digest(module.plain)
    module.plain.factor = 0.3
    assert digest(module.plain) != before and not digest(module.plain).startswith("of-process")


def test_a_method_from_elsewhere_counts(make):
    module = make()
    before = digest(module.Kind)
    module.Kind.adapt = module.plain
    after = digest(module.Kind)
    assert after != before and not after.startswith("of-process")
    module.Kind.adapt = lambda self: 1
    assert digest(module.Kind).startswith("of-process")


class Halver:
    def __init__(self, factor):
        self.factor = factor

    def adapt(self, x):
        return self.factor * x

    __call__ = adapt


def unplain(module):
    module.FACTOR = np.array([0.3])
    return module.plain


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda module: Halver(0.5).adapt, "it is a method object with values of its own"),
        (lambda module: Halver(0.5), "its source cannot be found"),
        (lambda module: module.scaled(module.plain, 0.5), "wraps another one"),
        (unplain, "FACTOR is ndarray"),
    ],
    ids=["method", "object", "wraps", "array"],
)
def test_what_no_file_says_is_of_this_process_alone_and_the_log_says_why(make, made, why, caplog):
    caplog.set_level(logging.INFO)
    thing = made(make())
    found = digest(thing)
    assert found.startswith("of-process-") and digest(thing) == found
    (record,) = caplog.records
    assert why in record.getMessage() and "computed again by every process" in record.getMessage()


def test_a_changed_object_is_another_one_within_the_process(make):
    halver = Halver(0.5)
    method = halver.adapt
    before = digest(method)
    halver.factor = 0.3
    assert digest(method) != before


def test_a_variable_of_a_notebook_counts_within_the_process():
    scope = {"__name__": "__main__", "K": 1}
    exec("def f(x):\n    return K * x\n", scope)
    before = digest(scope["f"])
    scope["K"] = 2
    assert before.startswith("of-process") and digest(scope["f"]) != before
