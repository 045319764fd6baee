"""The appendix: experiment 3 with another delta or other tasks, fine-tuning from mixed weights, extra meta-training.

An experiment is named after its figure. The fields that it changes are the figure's point, so they win over `--set`;
all other fields are the run's.
"""

from pathlib import Path

from experiments import matching
from experiments.measured import result
from tfmeta.config.fields import LARGEST_SEED
from tfmeta.simulation import Simulation

# figure -> (defence, changed fields); a word in place of a number names the field that has the number
_CHANGES = {
    "figA1": ("matching", {"delta": 0.6}),
    "figA2": ("matching", {"delta": 0.6}),
    "figA3": ("matching", {"delta": 0.4}),
    "figA4": ("matching", {"delta": 0.2}),
    "figA5": ("matching", {"delta": 0.3, "task_seed": 1}),
    "figA6": ("noise_mix", {"delta": 0.3}),
    "figA7": ("noise_mix", {"delta": 0.3}),
    "figA8": ("noise_mix", {"delta": 0.3, "extra_episodes": "extra_few"}),
    "figA9": ("matching", {"delta": 0.3, "extra_episodes": "extra_few"}),
    "figA10": ("noise_mix", {"delta": 0.3, "extra_episodes": "extra_many"}),
    "figA11": ("matching", {"delta": 0.3, "extra_episodes": "extra_many"}),
}
NAMES = dict.fromkeys(_CHANGES, ("a", "b", "c"))
TITLES = {
    name: ", ".join([defence, *(f"{field} = {value}" for field, value in fields.items())])
    for name, (defence, fields) in _CHANGES.items()
}


def run(name: str, sim: Simulation, case: str) -> Path:
    """Measure one case of a figure of the appendix; return the path of its document."""
    (defence, fields), own = _CHANGES[name], sim.config.defence
    values = {field: getattr(own, value) if isinstance(value, str) else value for field, value in fields.items()}
    if "task_seed" in values:  # counted from the run's own (0 follows the largest), so that the tasks are other ones
        values["task_seed"] = (values["task_seed"] + sim.config.evaluation.task_seed) % (LARGEST_SEED + 1)
    variant = sim.variant(**values)
    return result(variant, name, case, lambda: matching.compute(variant, case, defence, name))
