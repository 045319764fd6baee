"""The appendix: experiment 3 with another delta or other tasks, fine-tuning from mixed weights, extra meta-training.

An experiment is named after its figure. The fields that it changes are the figure's point, so they win over `--set`;
all other fields are the run's.
"""

import re
from pathlib import Path

from experiments import matching
from experiments.measured import check_has_delta, result
from experiments.size import Needs, compared
from tfmeta import registry
from tfmeta.config import Config
from tfmeta.config.fields import LARGEST_SEED
from tfmeta.errors import ConfigError
from tfmeta.simulation import Simulation

# figure -> (defence, changed fields); a word in place of a number names the field that has the number
_CHANGES = {
    "figA1": ("matching", {"defence.delta": 0.6}),
    "figA2": ("matching", {"defence.delta": 0.6}),
    "figA3": ("matching", {"defence.delta": 0.4}),
    "figA4": ("matching", {"defence.delta": 0.2}),
    "figA5": ("matching", {"defence.delta": 0.3, "evaluation.task_seed": 1}),
    "figA6": ("noise_mix", {"defence.delta": 0.3}),
    "figA7": ("noise_mix", {"defence.delta": 0.3}),
    "figA8": ("noise_mix", {"defence.delta": 0.3, "defence.extra_episodes": "defence.extra_few"}),
    "figA9": ("matching", {"defence.delta": 0.3, "defence.extra_episodes": "defence.extra_few"}),
    "figA10": ("noise_mix", {"defence.delta": 0.3, "defence.extra_episodes": "defence.extra_many"}),
    "figA11": ("matching", {"defence.delta": 0.3, "defence.extra_episodes": "defence.extra_many"}),
}
NAMES = dict.fromkeys(_CHANGES, ("a", "b", "c"))


def _title(defence, fields):
    pairs = (f"{field} = {value}" for field, value in fields.items())
    return ", ".join([defence, *(re.sub(r"(defence|evaluation)\.", "", pair) for pair in pairs)])


TITLES = {name: _title(*change) for name, change in _CHANGES.items()}


def check(name: str, config: Config) -> None:
    """Raise `ConfigError` if a figure cannot be drawn with the defence that a configuration names."""
    fields, defence = _CHANGES[name][1], config.defence.name
    if "evaluation.task_seed" not in fields:  # figure A5 is about other tasks
        check_has_delta(config, name)
    if "defence.extra_episodes" in fields:
        known = registry.options_of("defences", "extra_meta_training")["then"].metadata["choices"]
        if defence not in ("experiment", *known):
            raise ConfigError(f"{name}: extra meta-training is followed by {' or '.join(known)}, not by {defence}")


def run(name: str, sim: Simulation, case: str) -> Path:
    """Measure one case of a figure of the appendix; return the path of its document."""
    variant = sim.variant(**_changed(name, sim.config))
    return result(variant, name, case, lambda: matching.compute(variant, case, _CHANGES[name][0], name))


def needs(name: str, config: Config) -> Needs:
    """Return what a figure of the appendix needs in each case."""
    return compared(config.replace(_changed(name, config)), _CHANGES[name][0])


def _changed(name, config):
    """Return the fields that a figure changes."""
    fields, seed = _CHANGES[name][1], "evaluation.task_seed"
    values = {field: config[value] if isinstance(value, str) else value for field, value in fields.items()}
    if seed in values:  # counted from the run's own (0 follows the largest), so that the tasks are other ones
        values[seed] = (values[seed] + config[seed]) % (LARGEST_SEED + 1)
    return values
