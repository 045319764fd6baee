"""The parts of the defence, one change at a time from the full defence (section 4 claims that each matters).

The tasks of all users together, at 0, a tenth, two fifths and all of the fine-tuning's iterations.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from experiments.measured import described, models, pooled, pooled_note, result
from experiments.size import Needs, compared
from tfmeta import registry
from tfmeta.config import Config
from tfmeta.errors import ConfigError
from tfmeta.simulation import Simulation


@dataclasses.dataclass(frozen=True)
class Part:
    """One row of the table."""

    title: str
    defence: str = "matching"
    changed: Callable[[Config], dict] = lambda config: {}  # returns the changed fields
    baseline: bool = False  # whether the model before the attack is measured too
    start_only: bool = False  # whether only the start of fine-tuning is shown


def _faster_head(config):
    names = ("defence.alpha_learning_rate", "defence.beta_learning_rate")
    return {name: min(10 * config[name], 1.0) for name in names}


PARTS = {
    "full": Part("full defence", baseline=True),
    "no-defence": Part("no defence (supervised fine-tuning)", "fine_tuning", baseline=True),
    "softmax-head": Part("softmax head instead of attention (from the same mix)", "noise_mix"),
    "no-mix": Part("no mix (delta = 1)", changed=lambda config: {"defence.delta": 1.0}),
    "no-fine-tuning": Part("no fine-tuning", start_only=True),
    "one-phase": Part("one phase instead of two", changed=lambda config: {"defence.attention_steps": 0}),
    "gates-fixed": Part("gates fixed at 1", changed=lambda config: {"defence.gates": "fixed"}),
    "beta-1": Part("beta starts at 1", changed=lambda config: {"defence.beta_initial": 1.0}),
    "beta-100": Part("beta starts at 100", changed=lambda config: {"defence.beta_initial": 100.0}),
    "head-rate-x10": Part("learning rates of the head x 10", changed=_faster_head),
}
NAMES = {f"ablation-{name}": ("a", "c") for name in PARTS}
TITLES = {f"ablation-{name}": part.title for name, part in PARTS.items()}


def check(name: str, config: Config) -> None:
    """Raise `ConfigError` if a configuration names a defence: the parts are those of the paper's."""
    if config.defence.name != "experiment":
        raise ConfigError(f"{name} is about the parts of the paper's own defence: leave out --defence")


def needs(name: str, config: Config) -> Needs:
    """Return what one part needs in each case."""
    part = PARTS[name.removeprefix("ablation-")]
    return compared(config.replace(part.changed(config)), part.defence, models=2 if part.baseline else 1)


def run(name: str, sim: Simulation, case: str) -> Path:
    """Measure one part in one case; return the path of its document."""
    part = PARTS[name.removeprefix("ablation-")]
    variant = sim.variant(**part.changed(sim.config))
    more = {"notes": [pooled_note(sim)], "measurements": {"title": part.title, "rows": list(NAMES)}}
    return result(variant, name, case, lambda: (_curves(variant, name, part, case), more, {}))


def _curves(sim, name, part, case):
    sim.weights("attacked", case=case)
    from tfmeta.meta_learning.evaluation import points_upto, tenths

    steps, head = sim.config.evaluation.fine_tuning_steps, registry.find("defences", part.defence).head
    points = points_upto(steps)
    shown = (0,) if part.start_only else tenths(steps)
    rows = [points.index(point) for point in shown]
    measured, curves = models(sim), []
    if not part.baseline:
        del measured["before"]
    with sim.bar(len(measured) * (len(sim.measured_users) + 1), f"{name} ({case})", "set of tasks") as bar:
        for split, number in measured.items():
            values = pooled(sim, case, number, points, part.defence, bar.update)
            values = {metric: of_points[rows] for metric, of_points in values.items()}
            curves += described(values, split, head, "iteration", shown)
    return curves
