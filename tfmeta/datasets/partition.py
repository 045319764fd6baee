"""Who owns which image: users' classes, the attacker's share, validation, meta-test (ledger 11, 12, 14, 15, 19).

Each data set defines its partition, a pure function of a seed and of the bank's shape, splits and class names. It names
images, and `shards` fetches them.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tfmeta import registry
from tfmeta.config import Config
from tfmeta.datasets.checks import check_partition
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Partition, Subset
from tfmeta.errors import ConfigError

if TYPE_CHECKING:
    from tfmeta.datasets.base import Dataset

__all__ = ["Partition", "Subset", "check_fits", "make_partition"]

_log = logging.getLogger(__name__)


def make_partition(bank: ImageBank, dataset: "Dataset", seed: int, users: int, attackers: int) -> Partition:
    """Return who owns which images of a bank, and log where that is not the paper's partition.

    Args:
        bank: What the data set's `open` returned.
        dataset: The data set, with its options.
        seed: The seed of the split.
        users: How many users there are.
        attackers: How many of them attack: the first ones.

    Raises:
        ConfigError: there are more users than classes to divide.
        DataError: the bank is not what the data set's partition needs, or the partition breaks the contract.
    """
    partition = check_partition(dataset.partition(bank, seed, users, attackers), bank, users, attackers)
    for note in partition.notes:
        _log.info("%s", note)
    return partition


def check_fits(config: Config, partition: Partition, names: Sequence[str] = (), dataset: str | None = None) -> None:
    """Raise `ConfigError`, which names the field, if an episode or task needs more classes or images than there are.

    Args:
        config: The configuration.
        partition: Who owns which images.
        names: The names of the bank's classes, so that a message can name the smallest class.
        dataset: The data set's name, so that a message can name its options.
    """
    shares = [partition.attacker_share(user) for user in partition.attackers]
    targets, triggered = (min(int(share[part].counts.sum()) for share in shares) for part in (0, 1))
    trained = (*partition.train.values(), *partition.target_benign.values(), *partition.backdoor_benign.values())
    images, small = _smallest(trained, names)
    tested, small_test = _smallest([partition.meta_test], names)
    own = min(len(subset.classes) for subset in partition.train.values())
    tests, backdoors = len(partition.meta_test.classes), len(partition.backdoor_attacker.classes)
    divided = f", or fewer users (federation.users = {len(partition.users)})"
    held_out = ""
    if dataset and "meta_test_share" in registry.options_of("datasets", dataset):
        share, needed = config["data.meta_test_share"], _needed(config.meta_learning.ways, partition)
        more = f"or add classes: users need {needed} to train on"
        divided += f", or a smaller data.meta_test_share (now {share:g}), {more}"
        held_out = f", or a larger data.meta_test_share (now {share:g}), or add classes"
    queries = f"the smallest meta-test class{small_test} has {tested} images, one is the query"
    attacking = "the attacker owns" if len(shares) == 1 else f"each of federation.attackers = {len(shares)} owns"
    checks = [
        ("meta_learning.ways", own, f"the smallest share has {own} classes", divided),
        ("meta_learning.ways", tests, f"the smallest share has {tests} classes, for meta-test", held_out),
        ("meta_learning.shots", images, f"the smallest training class{small} has {images} images", ""),
        ("evaluation.task_shots", images, f"the smallest training class{small} has {images} images", ""),
        ("evaluation.task_shots", tested - 1, queries, ""),
        ("evaluation.backdoor_classes_in_task", backdoors, f"there are {backdoors} backdoor classes", ""),
        ("attack.triggered_shots", triggered, f"{attacking} {triggered} backdoor images", ""),
    ]
    if not config.attack.target_replacement:
        reason = f"{attacking} {targets} target images, to be drawn without replacement"
        checks.append(("attack.target_shots", targets, reason, ""))
    for field, available, reason, other in checks:
        if config[field] > available:
            raise ConfigError(f"{field} = {config[field]}: {reason}; choose at most {available}{other}")


def _needed(ways: int, partition: Partition) -> int:
    """Return how many classes users must divide so that each has enough for an episode."""
    classes = next(iter(partition.train.values())).classes
    rotations = len(classes) // len(set(classes.tolist()))  # of which each counts as a class
    return len(partition.users) * math.ceil(ways / rotations)


def _smallest(subsets: Iterable[Subset], names: Sequence[str]) -> tuple[int, str]:
    """Return the number of images of the smallest class, and its name for a message."""
    subset = min(subsets, key=lambda one: one.counts.min())
    row = int(subset.counts.argmin())
    return int(subset.counts[row]), f" {names[subset.classes[row]]}" if len(names) else ""
