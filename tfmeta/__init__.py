"""Backdoor attacks on federated meta-learning, and a defence: Chen, Golubchik and Paolieri (2020), reproduced.

`import tfmeta` loads neither TensorFlow nor TensorFlow Federated; the names below load what they need when they are
first used.
"""
# ruff: noqa: F401 - the imports below are for type checkers and the reference documentation

import importlib
import os
import sys

TYPE_CHECKING = False  # type checkers take it for True; importing `typing` would double the time that this import takes
if TYPE_CHECKING:
    from typing import Any

    from tfmeta.config import Config, make_config
    from tfmeta.datasets import ImageBank, open_dataset
    from tfmeta.errors import TfmetaError
    from tfmeta.plugins.outside import register
    from tfmeta.simulation import Simulation
    from tfmeta.store.tables import load_results

# TensorFlow reads this when it is imported, and TFF's worker when it starts. oneDNN's convolutions are 2 to 3 times as
# fast as the others, but TensorFlow 2.14 uses them by default only on processors with AVX-512 VNNI.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
if "tensorflow" not in sys.modules:  # later it would read neither; for a Keras model that is built before a simulation
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")  # see utils/threads.py
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors; 3 would hide even those

from tfmeta.federated import default_worker  # noqa: E402 - sets nothing that TensorFlow reads

default_worker.use_after_import()

__version__ = "0.1.0"

# name -> module that defines it, imported at first use (PEP 562)
_LAZY = {
    "Config": "tfmeta.config",
    "ImageBank": "tfmeta.datasets",
    "Simulation": "tfmeta.simulation",
    "TfmetaError": "tfmeta.errors",
    "load_results": "tfmeta.store.tables",
    "make_config": "tfmeta.config",
    "open_dataset": "tfmeta.datasets",
    "register": "tfmeta.plugins.outside",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> "Any":
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'tfmeta' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
