"""Experiment 2: benign users fine-tune the attacked meta-model for long (section 3, figures 5 and 6).

Every accuracy is also measured on the model before the attack: the baseline, since a key can fool a model that was
never attacked (ledger 34).
"""

from experiments.measured import over_iterations, result


def run(name, lab, case):
    """Measure one case; return the path of its document."""
    return result(lab, name, case, lambda: (over_iterations(lab, case, "softmax", "experiment 2: fine-tuning"), {}, {}))


if __name__ == "__main__":
    from tfmeta.cli import experiment_command

    experiment_command("fine_tuning")()
