"""Experiments: each computes what one figure (or table) of the paper shows, and stores it.

Thin: they say which models are measured on which tasks; ``tfmeta`` does the work, ``figures`` draws. Run one with
``python -m experiments.<name>`` or ``tfmeta run <name>``.
"""

import importlib

# name -> cases that it has
EXPERIMENTS = {"meta_training": ("a", "b", "c"), "fine_tuning": ("a", "b", "c"), "illustration": ("a",)}


def run(name, lab, case):
    """Run an experiment in one case unless its result is there; return the path of its document.

    Raises ``ConfigError`` for an unknown experiment or case.
    """
    from tfmeta.errors import ConfigError

    if name not in EXPERIMENTS:
        raise ConfigError(f"unknown experiment {name!r}: choose one of {', '.join(EXPERIMENTS)}")
    if case not in EXPERIMENTS[name]:
        raise ConfigError(f"unknown case {case!r} of {name}: choose one of {', '.join(EXPERIMENTS[name])}")
    return importlib.import_module(f"experiments.{name}").run(lab, case)
