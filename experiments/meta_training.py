"""Experiment 1: benign users go on with federated meta-training after the attack (section 3, figures 3 and 4).

At each round the model is fine-tuned on the tasks of all benign users and of the meta-test for e = 50 steps.
"""

import numpy as np

from experiments.measured import accuracies, result
from tfmeta.data.partition import BENIGN

POOLED = "main task and backdoor: the tasks of users 2, 3 and 4 together"


def run(lab, case):
    """Measure one case; return the path of its document."""
    return result(lab, "meta_training", case, lambda: (_curves(lab, case), {"notes": [POOLED]}, {}))


def _curves(lab, case):
    rounds = range(lab.timeline_of(case).last + 1)
    points = (lab.config.task_steps,)
    lab.model(case, rounds[-1])
    by_metric = {}
    with lab.bar(len(rounds) * (len(BENIGN) + 1), f"experiment 1 ({case}): measuring rounds", "set of tasks") as bar:
        for x in rounds:
            at_round = {}
            for user in (*BENIGN, None):
                for metric, values in accuracies(lab, case, x, user, points).items():
                    at_round.setdefault(metric, []).append(values[-1])
                bar.update(1)
            for metric, values in at_round.items():
                by_metric.setdefault(metric, []).append(np.concatenate(values))
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
