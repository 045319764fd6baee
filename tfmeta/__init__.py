"""Backdoor attacks on federated meta-learning, and a defence: Chen, Golubchik and Paolieri, reproduced.

``import tfmeta`` loads neither TensorFlow nor TensorFlow Federated; the names below load what they need when
they are first used.
"""

import importlib

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
