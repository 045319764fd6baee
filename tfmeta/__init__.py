"""Backdoor attacks on federated meta-learning, and a defence: Chen, Golubchik and Paolieri, reproduced.

``import tfmeta`` loads neither TensorFlow nor TensorFlow Federated; the names below load what they need when
they are first used.
"""

import importlib
import os

# TensorFlow reads this when it is imported, and TFF's worker when it starts. oneDNN's convolutions are 2 to 3 times as
# fast as the others, but TensorFlow 2.14 uses them unasked only on processors with AVX-512 VNNI.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

__version__ = "0.1.0"

# name -> module that defines it, imported at first use (PEP 562)
_LAZY = {
    "Config": "tfmeta.config",
    "make_config": "tfmeta.config",
    "open_dataset": "tfmeta.data",
    "Bank": "tfmeta.data.bank",
    "make_partition": "tfmeta.data.partition",
    "Conv4": "tfmeta.models.conv4",
    "Trigger": "tfmeta.trigger",
    "Laboratory": "tfmeta.laboratory",
    "TfmetaError": "tfmeta.errors",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name):
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'tfmeta' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
