"""What all tests share: the real data, if there is any, and the image banks, each made once per session."""

import os
import signal
import sys
import types
from pathlib import Path

import pytest

from tfmeta import registry
from tfmeta.config import fields
from tfmeta.datasets import open_dataset

# A background job of a shell ignores Ctrl-C, one started by nohup ignores a closed terminal, and their child processes
# inherit that. Tests of these signals must not ignore them. Handlers are not inherited, so `nohup make test` itself
# still outlives its terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# Tests that run as root read their files as nobody (privileges.py), whatever root's mask is.
os.umask(0o022)

# As in a run (tfmeta/utils/threads.py): with TensorFlow's default, rounding depends on the number of cores.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

WITHOUT_DATA = "no real data: set TFMETA_DATA to a folder that holds omniglot/ and mini-imagenet/"


def pytest_collection_modifyitems(items):
    if not os.environ.get("TFMETA_DATA"):
        for item in items:
            if item.get_closest_marker("needs_data"):
                item.add_marker(pytest.mark.skip(reason=WITHOUT_DATA))


@pytest.fixture
def forget_plugins(monkeypatch):
    """Forgets the plug-ins that a test registers, and the modules of their files."""
    modules = set(sys.modules)
    monkeypatch.setattr(registry, "_OUTSIDE", dict(registry._OUTSIDE))
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in sys.modules.keys() - modules:
        if name.startswith("tfmeta_outside."):
            del sys.modules[name]


@pytest.fixture(scope="session")
def data_dir():
    """The folder with real data. A wrong TFMETA_DATA fails the tests, a missing one skips them."""
    if not os.environ.get("TFMETA_DATA"):
        pytest.skip(WITHOUT_DATA)
    folder = Path(os.environ["TFMETA_DATA"])
    assert folder.is_dir(), f"TFMETA_DATA names {folder}, which is not a folder"
    return folder


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory):
    """One cache per session, or the one that TFMETA_CACHE names; processes started by tests use it too."""
    if "TFMETA_CACHE" not in os.environ:
        os.environ["TFMETA_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    return Path(os.environ["TFMETA_CACHE"])


@pytest.fixture(scope="session")
def glyphs_bank(cache_dir):
    return open_dataset("glyphs", cache_dir=cache_dir)


@pytest.fixture(scope="session")
def omniglot_bank(data_dir, cache_dir):
    return open_dataset("omniglot", data_dir, cache_dir, download=False)


@pytest.fixture(scope="session")
def mini_imagenet_bank(data_dir, cache_dir):
    """All 60,000 images: 1.27 GB in the cache, decoded once per session."""
    return open_dataset("mini-imagenet", data_dir, cache_dir)


@pytest.fixture
def new_field(monkeypatch):
    """The name of a field that counts as added after what is stored: `delta`, whose value was 0.3 before."""
    name = "defence.delta"
    field = fields()[name]
    monkeypatch.setattr(field, "metadata", types.MappingProxyType({**field.metadata, "legacy": 0.3}))
    return name
