"""Experiments: each computes what one figure (or table) of the paper shows, and stores it.

Thin: they say which models are measured on which tasks; ``tfmeta`` does the work, ``figures`` draws. Run one with
``tfmeta run <name>`` or ``python -m experiments.<module>``.
"""

import dataclasses
import importlib


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The module that runs it, and the cases that it has."""

    module: str
    cases: tuple[str, ...] = ("a", "b", "c")


# The appendix' figures and the parts of the defence: one result each, so that each can be run and read by itself.
APPENDIX = tuple(f"figA{number}" for number in range(1, 12))
PARTS = (
    "full", "no-defence", "softmax-head", "no-mix", "no-fine-tuning", "one-phase", "gates-fixed", "beta-1", "beta-100",
    "head-rate-x10",
)  # fmt: skip
EXPERIMENTS = {
    "illustration": Experiment("illustration", ("a",)),
    "meta_training": Experiment("meta_training"),
    "fine_tuning": Experiment("fine_tuning"),
    "matching": Experiment("matching"),
    **{name: Experiment("appendix") for name in APPENDIX},
    **{f"ablation-{part}": Experiment("ablation", ("a", "c")) for part in PARTS},
    "runtime": Experiment("runtime", ("a",)),
    "delta-curve": Experiment("delta_curve", ("a", "c")),
}


def names_of(module):
    """Return the experiments that a module runs."""
    return [name for name, experiment in EXPERIMENTS.items() if experiment.module == module]


def check(name, cases=()):
    """Raise ``ConfigError`` for an unknown experiment or case."""
    from tfmeta.errors import ConfigError

    if name not in EXPERIMENTS:
        raise ConfigError(f"unknown experiment {name!r}: choose one of {', '.join(EXPERIMENTS)}")
    for case in cases:
        if case not in EXPERIMENTS[name].cases:
            raise ConfigError(f"unknown case {case!r} of {name}: choose one of {', '.join(EXPERIMENTS[name].cases)}")


def run(name, lab, case):
    """Run an experiment in one case unless its result is there; return the path of its document.

    Raises ``ConfigError`` for an unknown experiment or case.
    """
    check(name, (case,))
    return importlib.import_module(f"experiments.{EXPERIMENTS[name].module}").run(name, lab, case)
