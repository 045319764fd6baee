"""Fields of the group `evaluation`: the tasks of benign users, and how they are measured."""

import dataclasses
import functools

from tfmeta.config.fields import LARGEST_SEED, Group, number, word
from tfmeta.config.limits import MOST_IMAGES, MOST_STEPS, MOST_TASKS, MOST_USERS

_number = functools.partial(number, stage="evaluation")
_word = functools.partial(word, stage="evaluation")


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Group):
    """The tasks of benign users, and how they are measured."""

    users: int = _number(
        3, "benign users whose tasks are measured, the first ones", 1, MOST_USERS, source="section 3", legacy=3
    )
    tasks: int = _number(40, "tasks per user, case and model", 2, MOST_TASKS, source="ledger 22")
    task_seed: int = _number(0, "which set of tasks", 0, LARGEST_SEED, source="appendix A5")
    task_shots: int = _number(5, "support examples per class of a task", 1, MOST_IMAGES, source="ledger 33")
    task_label: str = _word(
        "last", "the output that stands for the target class in a user's task", ("last", "random"),
        source="section 2, ledger 35",
    )  # fmt: skip
    task_steps: int = _number(
        50, "fine-tuning steps per round measured in figures 3 and 4", 1, MOST_STEPS, source="ledger 33"
    )
    fine_tuning_steps: int = _number(500, "fine-tuning steps of figures 5 to 8", 1, MOST_STEPS, source="section 3")
    backdoor_classes_in_task: int = _number(
        1, "case (c): backdoor classes among the N classes of a task", 1, 4, source="ledger 19"
    )
    batch_norm_statistics: str = _word(
        "support", "batch normalisation statistics of a prediction (queries: transductive)",
        ("support", "queries", "moving"), source="ledger 7",
    )  # fmt: skip
