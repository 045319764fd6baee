"""The appendix: experiment 3 with another delta or other tasks, and supervised fine-tuning from mixed weights.

An experiment's name is its figure's. The fields that it changes are the figure's point, so they hold whatever
``--set`` says of them; all others are the run's.
"""

from experiments import matching
from experiments.measured import result

# figure -> (method, fields)
CHANGES = {
    "figA1": ("matching", {"delta": 0.6}),
    "figA3": ("matching", {"delta": 0.4}),
    "figA4": ("matching", {"delta": 0.2}),
    "figA5": ("matching", {"delta": 0.3, "task_seed": 1}),
    "figA6": ("softmax-mixed", {"delta": 0.3}),
}


def run(name, lab, case):
    """Measure one case of an appendix' figure; return the path of its document."""
    method, fields = CHANGES[name]
    if "task_seed" in fields:  # another set of tasks than the run's own, whichever that is
        fields = {**fields, "task_seed": lab.config.task_seed + fields["task_seed"]}
    variant = lab.variant(**fields)
    return result(variant, name, case, lambda: matching.compute(variant, case, method, name))


if __name__ == "__main__":
    from tfmeta.cli import experiment_command

    experiment_command(*CHANGES)()
