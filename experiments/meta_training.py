"""Experiment 1: benign users continue federated meta-training after the attack (section 3, figures 3 and 4).

After each round the model is fine-tuned for e = 50 steps on the tasks of the measured users and on the meta-test tasks.
"""

from pathlib import Path

import numpy as np

from experiments.measured import described, pooled, pooled_note, result
from experiments.size import Needs, compared
from tfmeta.config import Config
from tfmeta.federated.rounds import last_round
from tfmeta.simulation import Simulation

NAMES = {"meta_training": ("a", "b", "c")}


def needs(name: str, config: Config) -> Needs:
    """Return what it needs in each case: all rounds, and a few steps on the tasks after each."""
    last = last_round(config)
    (measured,) = compared(config, "fine_tuning", models=last + 1).measured
    return Needs(last, (measured._replace(steps=config.evaluation.task_steps),))


def run(name: str, sim: Simulation, case: str) -> Path:
    """Measure one case; return the path of its document."""
    return result(sim, name, case, lambda: (_curves(sim, case), {"notes": [pooled_note(sim)]}, {}))


def _curves(sim, case):
    numbers = range(sim.timeline(case).last + 1)
    sim.weights(numbers[-1], case=case)
    from tfmeta.meta_learning.evaluation import points_upto

    evaluation, by_metric, points = sim.config.evaluation, {}, (sim.config.evaluation.task_steps,)
    if evaluation.task_steps == evaluation.fine_tuning_steps:
        points = points_upto(evaluation.fine_tuning_steps)  # the same as in experiment 2, which then shares the files
    total, title = len(numbers) * (len(sim.measured_users) + 1), f"experiment 1 ({case}): measuring rounds"
    with sim.bar(total, title, "set of tasks") as bar:
        for number in numbers:
            for metric, values in pooled(sim, case, number, points, "fine_tuning", bar.update).items():
                by_metric.setdefault(metric, []).append(values[-1])
    values = {metric: np.stack(of_rounds) for metric, of_rounds in by_metric.items()}
    return described(values, "after", sim.chosen_defence("fine_tuning").head, "round", list(numbers))
