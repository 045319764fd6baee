"""Tasks: what a benign user fine-tunes on, and what it is then counted (section 3, ledger 18 to 22, 33).

A task is an episode with the target class always among its N classes. Its *support* are clean, correctly
labelled images of the user; its *queries* are held-out images of the same classes (main task), and images of
the backdoor classes that carry the key: the attacker's own, and others held out. A meta-test task has classes
that nobody trained on, and no keyed images.
"""

import dataclasses

import numpy as np

from tfmeta.datasets.shards import fetch
from tfmeta.utils import seeds


@dataclasses.dataclass(frozen=True, eq=False)
class Tasks:
    """``n`` tasks side by side, as arrays.

    ``support`` uint8 [n, ways * shots, H, W, C], labels int32 [n, ways * shots]; ``queries`` uint8 [n, ways, H, W,
    C], one held-out image a class (ledger 20), labels int32 [n, ways]; ``keyed`` {"backdoor_train",
    "backdoor_validation"}: uint8 [k, H, W, C], the same for all tasks; ``counted``: bool [n, k], which of them count
    in a task (in case (c), those of the backdoor classes that are in the task); ``target`` int32 [n], the label
    of the target class; ``seeds`` int32 [n, 2], for the order of mini-batches.
    """

    support: np.ndarray
    support_labels: np.ndarray
    queries: np.ndarray
    query_labels: np.ndarray
    triggered: dict[str, np.ndarray]
    counted: dict[str, np.ndarray]
    target: np.ndarray | None
    seeds: np.ndarray

    def __len__(self):
        return len(self.support)

    def part(self, rows):
        """Return the tasks of a slice."""
        return dataclasses.replace(
            self,
            counted={name: mask[rows] for name, mask in self.counted.items()},
            target=None if self.target is None else self.target[rows],
            **{
                name: getattr(self, name)[rows]
                for name in ("support", "support_labels", "queries", "query_labels", "seeds")
            },
        )


class _Source:
    """A class that a task can hold: where its support and its held-out images come from."""

    def __init__(self, support, support_row, held_out, held_out_row):
        self.support, self.support_row = support, support_row
        self.held_out, self.held_out_row = held_out, held_out_row

    def draw(self, random, shots):
        """Return which images of the class are support (int [shots]) and which one is held out (int [1])."""
        available = np.flatnonzero(self.support.examples[self.support_row] >= 0)
        columns = random.choice(available, shots + (self.support is self.held_out), replace=False)
        if self.support is self.held_out:  # meta-test: one pool, the last one drawn is held out
            return columns[:-1], columns[-1:]
        available = np.flatnonzero(self.held_out.examples[self.held_out_row] >= 0)
        return columns, random.choice(available, 1)


def user_tasks(bank, partition, trigger, config, user, case):
    """Return the ``Tasks`` of one benign user; cases (a) and (b) have the same ones."""
    train, validation = partition.train[user], partition.validation[user]
    target = _Source(partition.target_benign[user], 0, partition.target_validation, 0)
    in_task = config.evaluation.backdoor_classes_in_task if case == "c" else 0
    backdoors = len(partition.backdoor_attacker.classes)
    drawn = []
    for number in range(config.evaluation.tasks):
        path = ("tasks", config.evaluation.task_seed, "user", user, "c" if in_task else "ab", number)
        random = seeds.generator(config.meta_learning.seed, *path)
        present = random.choice(backdoors, in_task, replace=False)
        others = random.choice(len(train.classes), config.meta_learning.ways - 1 - in_task, replace=False)
        sources = [target]
        sources += [
            _Source(partition.backdoor_benign[user], row, partition.backdoor_validation, row) for row in present
        ]
        sources += [_Source(train, row, validation, row) for row in others]
        labels = _labels(random, config)
        counted = np.isin(np.arange(backdoors), present) if in_task else np.ones(backdoors, bool)
        drawn.append(
            (
                _images(bank, sources, random, config.evaluation.task_shots),
                labels,
                counted,
                seeds.derive(config.meta_learning.seed, *path),
            )
        )
    triggered = {
        "backdoor_train": partition.backdoor_attacker,
        "backdoor_validation": partition.backdoor_held_out,
    }
    return _stack(
        drawn, config,
        triggered={name: trigger.stamp(_flat(bank, pool)) for name, pool in triggered.items()},
        classes={name: np.repeat(np.arange(backdoors), pool.counts) for name, pool in triggered.items()},
    )  # fmt: skip


def _labels(random, config):
    """Return a label for each class of a task, the target's first."""
    if config.evaluation.task_label == "random":
        return random.permutation(config.meta_learning.ways)
    return np.append(config.meta_learning.ways - 1, random.permutation(config.meta_learning.ways - 1))


def meta_test_tasks(bank, partition, config):
    """Return ``Tasks`` on classes that nobody trained on; they do not depend on the user (ledger 20)."""
    pool, drawn = partition.meta_test, []
    for number in range(config.evaluation.tasks):
        path = ("tasks", config.evaluation.task_seed, "meta-test", number)
        random = seeds.generator(config.meta_learning.seed, *path)
        rows = random.choice(len(pool.classes), config.meta_learning.ways, replace=False)
        sources = [_Source(pool, row, pool, row) for row in rows]
        images = _images(bank, sources, random, config.evaluation.task_shots)
        drawn.append((images, random.permutation(config.meta_learning.ways), None, seeds.derive(config.meta_learning.seed, *path)))
    return _stack(drawn, config, triggered={}, classes={})


def _images(bank, sources, random, shots):
    """Return a task's support uint8 [ways, shots, H, W, C] and queries uint8 [ways, H, W, C]."""
    support, queries = [], []
    for source in sources:
        columns, held_out = source.draw(random, shots)
        support.append(_fetch_one(bank, source.support, source.support_row, columns))
        queries.append(_fetch_one(bank, source.held_out, source.held_out_row, held_out)[0])
    return np.stack(support), np.stack(queries)


def _fetch_one(bank, pool, row, columns):
    one = dataclasses.replace(
        pool, classes=pool.classes[[row]], turns=pool.turns[[row]], examples=pool.examples[[row]][:, columns]
    )
    return fetch(bank, one)[0]


def _flat(bank, pool):
    """Return all images of a pool, uint8 [k, H, W, C], class by class."""
    return fetch(bank, pool)[pool.examples >= 0]


def _stack(drawn, config, triggered, classes):
    """Put drawn tasks side by side; the first source's label is the target's."""
    shape = drawn[0][0][0].shape[2:]
    labels = np.stack([labels for _, labels, _, _ in drawn]).astype(np.int32)
    support = np.stack([support.reshape(-1, *shape) for (support, _), _, _, _ in drawn])
    return Tasks(
        support=support,
        support_labels=np.repeat(labels, config.evaluation.task_shots, axis=1),
        queries=np.stack([queries for (_, queries), _, _, _ in drawn]),
        query_labels=labels,
        triggered=triggered,
        counted={name: np.stack([counted[of] for _, _, counted, _ in drawn]) for name, of in classes.items()},
        target=labels[:, 0] if triggered else None,
        seeds=np.stack([seed for _, _, _, seed in drawn]),
    )
