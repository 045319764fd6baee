"""Experiment 1: benign users go on with federated meta-training after the attack (section 3, figures 3 and 4).

At each round the model is fine-tuned on the tasks of all benign users and of the meta-test for e = 50 steps.
"""

import numpy as np

from experiments.measured import POOLED, pooled, result
from tfmeta.data.partition import BENIGN


def run(name, lab, case):
    """Measure one case; return the path of its document."""
    return result(lab, name, case, lambda: (_curves(lab, case), {"notes": [POOLED]}, {}))


def _curves(lab, case):
    rounds = range(lab.timeline_of(case).last + 1)
    lab.model(case, rounds[-1])
    from tfmeta.evaluation import points_upto

    config, by_metric = lab.config, {}
    # where experiment 2 fine-tunes as long its parts have the same names, so they are the same parts
    points = points_upto(config.finetune_steps) if config.task_steps == config.finetune_steps else (config.task_steps,)
    with lab.bar(len(rounds) * (len(BENIGN) + 1), f"experiment 1 ({case}): measuring rounds", "set of tasks") as bar:
        for x in rounds:
            for metric, values in pooled(lab, case, x, points, "softmax", bar.update).items():
                by_metric.setdefault(metric, []).append(values[-1])
    return [
        {
            "user": None, "head": "softmax", "metric": metric, "split": "after",
            "x": list(rounds), "x_name": "round", "task_values": np.stack(values),
        }
        for metric, values in by_metric.items()
    ]  # fmt: skip


if __name__ == "__main__":
    from tfmeta.cli import experiment_command

    experiment_command("meta_training")()
