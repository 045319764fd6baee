"""How much noise the defence needs: accuracies after fine-tuning against delta (section 4, appendix A.1).

The paper leaves open how to choose delta "or, equivalently, ratio between the norms of a trained model and an
initialization". This ratio of what each adds to the mix, delta |theta| / ((1 - delta) |theta_g|), is stored too.
"""

from pathlib import Path

import numpy as np

from experiments.measured import check_has_delta, described, models, norms, pooled, pooled_note, result
from experiments.size import Needs, compared
from tfmeta.config import Config
from tfmeta.simulation import Simulation

DELTAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
NAMES = {"delta-curve": ("a", "c")}


def check(name: str, config: Config) -> None:
    """Raise `ConfigError` if the defence that a configuration names has no delta."""
    check_has_delta(config, name)


def needs(name: str, config: Config) -> Needs:
    """Return what it needs in each case."""
    return compared(config, "matching", repeated=len(DELTAS))


def run(name: str, sim: Simulation, case: str) -> Path:
    """Measure one case; return the path of its document."""
    return result(sim, name, case, lambda: _compute(sim, case))


def _compute(sim, case):
    sim.weights("attacked", case=case)
    from tfmeta.meta_learning.evaluation import points_upto

    found, sets = {split: {} for split in models(sim)}, len(sim.measured_users) + 1
    steps = sim.config.evaluation.fine_tuning_steps
    with sim.bar(len(DELTAS) * len(found) * sets, f"delta curve ({case})", "set of tasks") as bar:
        for delta in DELTAS:
            variant = sim.variant(**{"defence.delta": delta})
            for split, number in models(sim).items():
                values = pooled(variant, case, number, points_upto(steps), "matching", bar.update)
                for metric, of_points in values.items():
                    found[split].setdefault(metric, []).append(of_points[-1])
    curves, head = [], sim.chosen_defence("matching").head
    for split, by_metric in found.items():
        values = {metric: np.stack(of_deltas) for metric, of_deltas in by_metric.items()}
        curves += described(values, split, head, "delta", DELTAS)
    sizes = norms(sim, case)
    ratio = sizes["after"]["embedding"]["ratio"]
    ratios = [delta / (1 - delta) * ratio if delta < 1 else None for delta in DELTAS]
    note = f"each point: {steps} iterations with that delta, whatever delta the configuration has"
    return curves, {"notes": [pooled_note(sim), note], "measurements": {"norms": sizes, "ratios": ratios}}, {}
