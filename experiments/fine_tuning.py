"""Experiment 2: benign users fine-tune the attacked meta-model for long (section 3, figures 5 and 6).

Every accuracy is also measured on the model before the attack: the baseline, since a key can fool a model that was
never attacked (ledger 34).
"""

from experiments.measured import accuracies, result
from tfmeta.data.partition import BENIGN
from tfmeta.evaluation import points_upto
from tfmeta.training import ATTACKED, BEFORE_ATTACK

MODELS = {"before": BEFORE_ATTACK, "after": ATTACKED}


def run(lab, case):
    """Measure one case; return the path of its document."""
    return result(lab, "fine_tuning", case, lambda: (_curves(lab, case), {}, {}))


def _curves(lab, case):
    points = points_upto(lab.config.finetune_steps)
    # train all models first: their bars come before the tasks' one
    lab.model(case, ATTACKED)
    curves = []
    with lab.bar(len(MODELS) * (len(BENIGN) + 1), f"experiment 2 ({case}): fine-tuning", "set of tasks") as bar:
        for split, x in MODELS.items():
            for user in (*BENIGN, None):
                values = accuracies(lab, case, x, user, points)
                curves += [
                    {
                        "user": user, "head": "softmax", "metric": metric, "split": split,
                        "x": points, "x_name": "iteration", "task_values": task_values,
                    }
                    for metric, task_values in values.items()
                ]  # fmt: skip
                bar.update(1)
    return curves


if __name__ == "__main__":
    from tfmeta.cli import experiment_command

    experiment_command("fine_tuning")()
