"""Experiment 3: the defence, matching networks on mixed weights (section 4, figures 7 and 8).

The same tasks, iterations and accuracies as experiment 2.
"""

from experiments.measured import norms, over_iterations, result


def run(name, lab, case):
    """Measure one case; return the path of its document."""
    return result(lab, name, case, lambda: compute(lab, case, "matching", "experiment 3: matching networks"))


def compute(lab, case, method, title):
    """Return what ``result`` takes: the curves, and the norms of what was mixed."""
    curves = over_iterations(lab, case, method, title)
    return curves, {"measurements": {"norms": norms(lab, case)}}, {}


if __name__ == "__main__":
    from tfmeta.cli import experiment_command

    experiment_command("matching")()
