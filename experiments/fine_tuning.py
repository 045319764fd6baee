"""Experiment 2: benign users fine-tune the attacked meta-model for many iterations (section 3, figures 5 and 6).

Every accuracy is also measured on the model before the attack: the baseline, since a trigger can fool a model that was
never attacked (ledger 34).
"""

from pathlib import Path

from experiments.measured import defence_words, over_iterations, result
from experiments.size import Needs, compared
from tfmeta.config import Config
from tfmeta.simulation import Simulation

NAMES = {"fine_tuning": ("a", "b", "c")}


def needs(name: str, config: Config) -> Needs:
    """Return what it needs in each case."""
    return compared(config, "fine_tuning")


def run(name: str, sim: Simulation, case: str) -> Path:
    """Measure one case; return the path of its document."""
    title = f"experiment 2: {defence_words(sim.config, 'fine-tuning')}"
    return result(sim, name, case, lambda: (over_iterations(sim, case, "fine_tuning", title), {}, {}))
