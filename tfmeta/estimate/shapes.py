"""The shapes of a run's data, as far as memory and time depend on them."""

import math
from typing import NamedTuple

from tfmeta.config import Config
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Partition


class Shapes(NamedTuple):
    """How large a run's data are.

    Attributes:
        image: (H, W, C).
        shard: The most images that a client reads, with the room that is left in its shards.
        queries: The most images that a model is tested on in a task, beside one per class: triggered ones.
    """

    image: tuple[int, int, int]
    shard: int
    queries: int

    @classmethod
    def of(cls, bank: ImageBank, partition: Partition) -> "Shapes":
        """Return the shapes of a bank, divided by a partition."""
        owned = (partition.train, partition.target_benign, partition.backdoor_benign)
        room = max(subset.examples.shape[1] for subsets in owned for subset in subsets.values())
        classes = max(sum(len(part[user].classes) for part in owned if user in part) for user in partition.users)
        triggered = (partition.backdoor_attacker, partition.backdoor_held_out)
        return cls(bank.images.shape[2:], room * classes, sum(int(subset.counts.sum()) for subset in triggered))

    def of_tasks(self, config: Config) -> int:
        """Return the bytes of the sets of tasks that a run keeps: of each user with and without backdoor classes."""
        evaluation = config.evaluation
        sets = 2 * evaluation.users + 1
        images = config.meta_learning.ways * (evaluation.task_shots + 1) * math.prod(self.image)
        return evaluation.tasks * ((sets + 1) * images + sets * self.queries)  # one more while a set is made
