"""Fixtures of the tests of tools/ and the Makefile."""

import runpy
from pathlib import Path

import pytest
from small_checkout import EVERYTHING, ROOT, Checkout, pack_uv


@pytest.fixture(scope="session")
def uv(tmp_path_factory):
    """A wheel of the real uv."""
    return pack_uv(tmp_path_factory.mktemp("uv"))


@pytest.fixture
def checkout(tmp_path, uv):
    """A checkout whose path holds blanks and a quote."""
    return Checkout(tmp_path / "a user's checkout", uv)


@pytest.fixture
def bootstrap(monkeypatch):
    """What tools/bootstrap.py defines."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    return runpy.run_path(str(ROOT / "tools" / "bootstrap.py"))


@pytest.fixture(scope="session")
def shared(tmp_path_factory, uv):
    return Checkout(tmp_path_factory.mktemp("shared") / "a user's checkout", uv)


@pytest.fixture
def ready(shared):
    """A checkout with a complete environment, shared by the tests: they leave it so that make can update it."""
    elsewhere = str(shared.folder / "elsewhere")  # no setting of the user's leads pip or uv astray
    astray = {"PIP_USER": "1", "PIP_TARGET": elsewhere, "PYTHONPATH": elsewhere}
    code, lines = shared.make(PIP_REQUIRE_HASHES="1", UV_REQUIRE_HASHES="1", **astray)
    assert code == 0, lines
    assert shared.installed() == EVERYTHING and not Path(elsewhere).exists()
    return shared
