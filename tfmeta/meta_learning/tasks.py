"""Tasks: what a benign user fine-tunes on, and the images that its model is then tested on (ledger 18 to 22, 33).

A task is an episode that includes the target class. Its support set holds clean, correctly labelled images of the user.
Its queries are held-out images of the same classes (the main task), and triggered images of the backdoor classes: the
attacker's own, and others that the attacker never had. A meta-test task has classes that nobody trained on.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from tfmeta.config import Config
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shards import fetch, images_of
from tfmeta.datasets.shares import Partition, Subset
from tfmeta.errors import ConfigError
from tfmeta.utils import seeds

if TYPE_CHECKING:
    from tfmeta.attacks.triggers.base import Trigger


@dataclasses.dataclass(frozen=True, eq=False)
class Tasks:
    """`n` tasks as arrays. Meta-test tasks have no triggered images and no target.

    `triggered` and `counted` have the entries "backdoor_train" and "backdoor_validation". All tasks share the triggered
    images; in case (c) only those of the backdoor classes in a task count.
    """

    support: np.ndarray  # uint8 [n, ways * shots, H, W, C]
    support_labels: np.ndarray  # int32 [n, ways * shots]
    queries: np.ndarray  # uint8 [n, ways, H, W, C], one held-out image per class (ledger 20)
    query_labels: np.ndarray  # int32 [n, ways]
    triggered: dict[str, np.ndarray]  # uint8 [k, H, W, C]
    counted: dict[str, np.ndarray]  # bool [n, k], which triggered images count in a task
    target: np.ndarray | None  # int32 [n], the label of the target class
    seeds: np.ndarray  # int32 [n, 2], for what is drawn while a model is adapted to a task

    def __len__(self) -> int:
        return len(self.support)

    def part(self, rows: slice) -> "Tasks":
        """Return the tasks of a slice."""
        arrays = {name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return dataclasses.replace(self, **arrays, counted={name: mask[rows] for name, mask in self.counted.items()})


def of(
    bank: ImageBank, partition: Partition, trigger: "Trigger", config: Config, user: int | None, case: str
) -> Tasks:
    """Return the tasks of a benign user, or the meta-test tasks if `user` is None; arguments as in `user_tasks`.

    Raises:
        ConfigError: `user` is no benign user.
    """
    benign = partition.benign
    if user is None:
        return meta_test_tasks(bank, partition, config)
    if user not in benign:
        raise ConfigError(f"there is no benign user {user!r}: choose {benign[0]} to {benign[-1]}")
    return user_tasks(bank, partition, trigger, config, user, case)


def user_tasks(
    bank: ImageBank, partition: Partition, trigger: "Trigger", config: Config, user: int, case: str
) -> Tasks:
    """Return the tasks of a benign user; cases (a) and (b) have the same ones.

    Args:
        bank: All images of the data set.
        partition: Who owns which of them.
        trigger: The attackers' trigger.
        config: Reads seed, ways and the group `evaluation`.
        user: The benign user's number.
        case: "a", "b" or "c".
    """
    own, held_out = partition.train[user], partition.validation[user]
    backdoor, held_out_backdoor = partition.backdoor_benign[user], partition.backdoor_validation
    target = (_only(partition.target_benign[user], 0), _only(partition.target_validation, 0))
    in_task = config.evaluation.backdoor_classes_in_task if case == "c" else 0
    backdoors = len(partition.backdoor_attacker.classes)
    drawn = []
    for number in range(config.evaluation.tasks):
        path = ("tasks", config.evaluation.task_seed, "user", user, "c" if in_task else "ab", number)
        random = seeds.generator(config.meta_learning.seed, *path)
        present = random.choice(backdoors, in_task, replace=False)
        others = random.choice(len(own.classes), config.meta_learning.ways - 1 - in_task, replace=False)
        classes = [target, *((_only(backdoor, row), _only(held_out_backdoor, row)) for row in present)]
        classes += [(_only(own, row), _only(held_out, row)) for row in others]
        labels = _labels(random, config)
        counted = np.isin(np.arange(backdoors), present) if in_task else np.ones(backdoors, bool)
        drawn.append((*_draw(bank, classes, random, config.evaluation.task_shots), labels, counted, path))
    # those of all attackers together, whatever each of them has
    owned = {"backdoor_train": partition.backdoor_attacker, "backdoor_validation": partition.backdoor_held_out}
    tasks = _stack(drawn, config)
    return dataclasses.replace(
        tasks,
        triggered={name: trigger.stamped(images_of(bank, subset)) for name, subset in owned.items()},
        counted={name: np.repeat([row for *_, row, _ in drawn], of.counts, axis=1) for name, of in owned.items()},
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
        images = _draw(bank, [(_only(subset, row), None) for row in rows], random, config.evaluation.task_shots)
        drawn.append((*images, random.permutation(config.meta_learning.ways), None, path))
    return _stack(drawn, config)


def _labels(random, config):
    """Return a label for each class of a task, the target's first."""
    ways = config.meta_learning.ways
    if config.evaluation.task_label == "random":
        return random.permutation(ways)
    return np.append(ways - 1, random.permutation(ways - 1))


def _only(subset, row):
    """Return one class of a subset, without places for images that it does not have."""
    examples = subset.examples[row]
    return Subset(subset.classes[[row]], subset.turns[[row]], examples[None, examples >= 0])


def _draw(bank, classes, random, shots):
    """Return a task's support uint8 [ways * shots, H, W, C] and queries uint8 [ways, H, W, C], class by class.

    `classes` are pairs of one-class subsets, to draw the support from and the query. Where the second is None, as in
    meta-test tasks, both come from the first.
    """
    support, queries = [], []
    for own, held_out in classes:
        drawn = random.choice(own.examples.shape[1], shots + (held_out is None), replace=False)
        query = drawn[shots:] if held_out is None else random.choice(held_out.examples.shape[1], 1)
        support.append(_images(bank, own, drawn[:shots]))
        queries.append(_images(bank, own if held_out is None else held_out, query))
    return np.concatenate(support), np.concatenate(queries)


def _images(bank, subset, columns):
    return fetch(bank, dataclasses.replace(subset, examples=subset.examples[:, columns]))[0]


def _stack(drawn, config):
    """Return drawn tasks as arrays, without triggered images."""
    support, queries, labels, _, paths = zip(*drawn, strict=True)
    labels = np.stack(labels).astype(np.int32)
    return Tasks(
        support=np.stack(support), support_labels=np.repeat(labels, config.evaluation.task_shots, axis=1),
        queries=np.stack(queries), query_labels=labels,
        triggered={}, counted={}, target=None,
        seeds=np.stack([seeds.derive(config.meta_learning.seed, *path) for path in paths]),
    )  # fmt: skip
