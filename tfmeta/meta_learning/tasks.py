"""Tasks: what a benign user fine-tunes on, and the images that its model is then tested on (ledger 18 to 22, 33).

A task is an episode that always includes the target class. Its support set holds clean, correctly labelled images of
the user. Its queries are held-out images of the same classes (the main task), and triggered images of the backdoor
classes: the attacker's own, and others that the attacker never had. A meta-test task has classes that nobody trained
on, and no triggered images.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from tfmeta.attacks.triggers.base import Trigger
from tfmeta.config import Config
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shards import fetch, images_of
from tfmeta.datasets.shares import Partition, Subset
from tfmeta.utils import seeds


@dataclasses.dataclass(frozen=True, eq=False)
class Tasks:
    """`n` tasks as arrays.

    Attributes:
        support: uint8 [n, ways * shots, H, W, C].
        support_labels: int32 [n, ways * shots].
        queries: uint8 [n, ways, H, W, C], one held-out image per class (ledger 20).
        query_labels: int32 [n, ways].
        triggered: "backdoor_train" and "backdoor_validation": uint8 [k, H, W, C], the same for all tasks. Empty for
            meta-test tasks.
        counted: For the same names, bool [n, k]: the triggered images that count in a task. In case (c) those are the
            images of the backdoor classes in the task, in cases (a) and (b) all.
        target: int32 [n], the label of the target class, or None for meta-test tasks.
        seeds: int32 [n, 2], one seed per task, for all that is drawn while a model is adapted to it.
    """

    support: np.ndarray
    support_labels: np.ndarray
    queries: np.ndarray
    query_labels: np.ndarray
    triggered: dict[str, np.ndarray]
    counted: dict[str, np.ndarray]
    target: np.ndarray | None
    seeds: np.ndarray

    def __len__(self) -> int:
        return len(self.support)

    def part(self, rows: slice) -> "Tasks":
        """Return the tasks of a slice."""
        by_task = ("support", "support_labels", "queries", "query_labels", "seeds")
        return dataclasses.replace(
            self,
            counted={name: mask[rows] for name, mask in self.counted.items()},
            target=None if self.target is None else self.target[rows],
            **{name: getattr(self, name)[rows] for name in by_task},
        )


def user_tasks(
    bank: ImageBank, partition: Partition, trigger: Trigger, config: Config, user: int, case: str
) -> Tasks:
    """Return the tasks of a benign user; cases (a) and (b) have the same ones.

    Args:
        bank: All images of the data set.
        partition: Who owns which of them.
        trigger: The attacker's trigger.
        config: Reads seed, ways and the group `evaluation`.
        user: 2, 3 or 4.
        case: "a", "b" or "c".
    """
    train, validation = partition.train[user], partition.validation[user]
    target = _Class(partition.target_benign[user], 0, partition.target_validation, 0)
    in_task = config.evaluation.backdoor_classes_in_task if case == "c" else 0
    backdoors = len(partition.backdoor_attacker.classes)
    drawn = []
    for number in range(config.evaluation.tasks):
        path = ("tasks", config.evaluation.task_seed, "user", user, "c" if in_task else "ab", number)
        random = seeds.generator(config.meta_learning.seed, *path)
        present = random.choice(backdoors, in_task, replace=False)
        others = random.choice(len(train.classes), config.meta_learning.ways - 1 - in_task, replace=False)
        classes = [
            target,
            *(_Class(partition.backdoor_benign[user], row, partition.backdoor_validation, row) for row in present),
            *(_Class(train, row, validation, row) for row in others),
        ]
        labels = _labels(random, config)
        counted = np.isin(np.arange(backdoors), present) if in_task else np.ones(backdoors, bool)
        drawn.append((*_images(bank, classes, random, config), labels, counted, path))
    owned = {"backdoor_train": partition.backdoor_attacker, "backdoor_validation": partition.backdoor_held_out}
    tasks = _stack(drawn, config)
    return dataclasses.replace(
        tasks,
        triggered={name: trigger.stamp(images_of(bank, subset)) for name, subset in owned.items()},
        counted={
            name: np.stack([np.repeat(counted, subset.counts) for *_, counted, _ in drawn])
            for name, subset in owned.items()
        },
        target=tasks.query_labels[:, 0],  # the target is the first class of every task
    )


def meta_test_tasks(bank: ImageBank, partition: Partition, config: Config) -> Tasks:
    """Return tasks on classes that nobody trained on. They do not depend on the user (ledger 20).

    Arguments as in `user_tasks`.
    """
    subset, drawn = partition.meta_test, []
    for number in range(config.evaluation.tasks):
        path = ("tasks", config.evaluation.task_seed, "meta-test", number)
        random = seeds.generator(config.meta_learning.seed, *path)
        rows = random.choice(len(subset.classes), config.meta_learning.ways, replace=False)
        images = _images(bank, [_Class(subset, row, subset, row) for row in rows], random, config)
        drawn.append((*images, random.permutation(config.meta_learning.ways), None, path))
    return _stack(drawn, config)


class _Class(NamedTuple):
    """A class of a task: the row of a subset that has its support images, and the row that has its held-out ones."""

    support: Subset
    support_row: int
    held_out: Subset
    held_out_row: int

    def draw(self, random, shots):
        """Return the columns of the support images (int [shots]) and of the query (int [1])."""
        available = np.flatnonzero(self.support.examples[self.support_row] >= 0)
        columns = random.choice(available, shots + (self.support is self.held_out), replace=False)
        if self.support is self.held_out:  # meta-test: both come from one subset, and the last one drawn is the query
            return columns[:-1], columns[-1:]
        available = np.flatnonzero(self.held_out.examples[self.held_out_row] >= 0)
        return columns, random.choice(available, 1)


def _labels(random, config):
    """Return a label for each class of a task, the target's first."""
    ways = config.meta_learning.ways
    if config.evaluation.task_label == "random":
        return random.permutation(ways)
    return np.append(ways - 1, random.permutation(ways - 1))


def _images(bank, classes, random, config):
    """Return a task's support uint8 [ways * shots, H, W, C] and queries uint8 [ways, H, W, C], class by class."""
    support, queries = [], []
    for one in classes:
        columns, query = one.draw(random, config.evaluation.task_shots)
        support.append(_fetch(bank, one.support, one.support_row, columns))
        queries.append(_fetch(bank, one.held_out, one.held_out_row, query))
    return np.concatenate(support), np.concatenate(queries)


def _fetch(bank, subset, row, columns):
    """Return the images of one row of a subset in some columns, uint8 [columns, H, W, C]."""
    one = Subset(subset.classes[[row]], subset.turns[[row]], subset.examples[[row]][:, columns])
    return fetch(bank, one)[0]


def _stack(drawn, config):
    """Return drawn tasks as arrays, without triggered images."""
    support, queries, labels, _, paths = zip(*drawn, strict=True)
    labels = np.stack(labels).astype(np.int32)
    return Tasks(
        support=np.stack(support),
        support_labels=np.repeat(labels, config.evaluation.task_shots, axis=1),
        queries=np.stack(queries),
        query_labels=labels,
        triggered={},
        counted={},
        target=None,
        seeds=np.stack([seeds.derive(config.meta_learning.seed, *path) for path in paths]),
    )
