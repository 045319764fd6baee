"""The appendix: experiment 3 with another delta or other tasks, supervised fine-tuning from mixed weights, and both
after extra local meta-training.

An experiment's name is its figure's. The fields that it changes are the figure's point, so they hold whatever
``--set`` says of them; all others are the run's.
"""

from experiments import matching
from experiments.measured import result

# figure -> (method, fields; a word instead of a value is the field that has it)
CHANGES = {
    "figA1": ("matching", {"delta": 0.6}),
    "figA2": ("matching", {"delta": 0.6}),
    "figA3": ("matching", {"delta": 0.4}),
    "figA4": ("matching", {"delta": 0.2}),
    "figA5": ("matching", {"delta": 0.3, "task_seed": 1}),
    "figA6": ("softmax-mixed", {"delta": 0.3}),
    "figA7": ("softmax-mixed", {"delta": 0.3}),
    "figA8": ("softmax-mixed", {"delta": 0.3, "extra_episodes": "extra_few"}),
    "figA9": ("matching", {"delta": 0.3, "extra_episodes": "extra_few"}),
    "figA10": ("softmax-mixed", {"delta": 0.3, "extra_episodes": "extra_many"}),
    "figA11": ("matching", {"delta": 0.3, "extra_episodes": "extra_many"}),
}


def run(name, lab, case):
    """Measure one case of an appendix' figure; return the path of its document."""
    method, fields = CHANGES[name]
    fields = {field: getattr(lab.config, value) if isinstance(value, str) else value for field, value in fields.items()}
    if "task_seed" in fields:  # another set of tasks than the run's own, whichever that is
        fields["task_seed"] += lab.config.task_seed
    variant = lab.variant(**fields)
    return result(variant, name, case, lambda: matching.compute(variant, case, method, name))


if __name__ == "__main__":
    from tfmeta.cli import experiment_command

    experiment_command(*CHANGES)()
