"""Experiment 3: the defence, matching networks on mixed weights (section 4, figures 7 and 8).

The same tasks, iterations and accuracies as experiment 2.
"""

from pathlib import Path

from experiments.measured import defence_words, mixes, norms, over_iterations, result
from experiments.size import Needs, compared
from tfmeta.config import Config
from tfmeta.simulation import Simulation

NAMES = {"matching": ("a", "b", "c")}


def needs(name: str, config: Config) -> Needs:
    """Return what it needs in each case."""
    return compared(config, "matching")


def run(name: str, sim: Simulation, case: str) -> Path:
    """Measure one case; return the path of its document."""
    words = defence_words(sim.config, "matching networks")
    return result(sim, name, case, lambda: compute(sim, case, "matching", f"experiment 3: {words}"))


def compute(sim: Simulation, case: str, defence: str, title: str) -> tuple[list[dict], dict, dict]:
    """Return what `result` takes: the curves, and the norms if a defence of the package mixes weights."""
    curves = over_iterations(sim, case, defence, title)
    return curves, {"measurements": {"norms": norms(sim, case)}} if mixes(sim.config) else {}, {}
