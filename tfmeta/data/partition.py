"""Who owns which picture: users' classes, the attacker's share, validation, meta-test (ledger 11, 12, 14, 15, 19).

A partition is a pure function of the bank's shape and class names, and a seed. It names pictures; ``pools.py`` fetches
them. Walls that the tests hold: training / validation, benign / attacker, meta-training / meta-test. What is common to
benign users is said where a data set is split.
"""

import logging

from tfmeta.data import split_mini_imagenet, split_omniglot
from tfmeta.data.shares import ATTACKER, BENIGN, USERS, Partition, Pool
from tfmeta.data.split_omniglot import CLASSES, EXAMPLES
from tfmeta.errors import ConfigError, DataError

__all__ = [
    "ATTACKER",
    "BENIGN",
    "CLASSES",
    "EXAMPLES",
    "USERS",
    "Partition",
    "Pool",
    "check_fits",
    "make_partition",
]

_log = logging.getLogger(__name__)


def make_partition(bank, split_seed):
    """Return the ``Partition`` of a bank that has the shape of Omniglot or mini-ImageNet.

    Says its notes, if it has any. Raises ``DataError`` where the bank's shape or classes do not fit.
    """
    classes, examples = bank.images.shape[:2]
    if (classes, examples) == (CLASSES, EXAMPLES):
        partition = split_omniglot.split(bank, split_seed)
    elif examples == split_mini_imagenet.EXAMPLES and bank.dataset in split_mini_imagenet.RESERVED:
        partition = split_mini_imagenet.split(bank, split_seed)
    else:
        shapes = f"{CLASSES} classes of {EXAMPLES} (Omniglot's)"
        if bank.dataset in split_mini_imagenet.RESERVED:
            shapes = f"100 classes of {split_mini_imagenet.EXAMPLES} (mini-ImageNet's)"
        raise DataError(f"{bank.dataset}: {classes} classes of {examples} pictures, but the split is of {shapes}")
    for note in partition.notes:
        _log.info("%s", note)
    return partition


def check_fits(config, partition):
    """Raise ``ConfigError`` where an episode or a task asks for more classes or pictures than there are."""
    own = (*partition.train.values(), partition.meta_test)
    classes = min(len(pool.classes) for pool in own)
    if config.ways > classes:
        raise ConfigError(f"ways = {config.ways}: the smallest bank has {classes} classes; choose fewer")
    reserved = (*partition.target_benign.values(), *partition.backdoor_benign.values())
    pictures = min(int(pool.counts.min()) for pool in (*partition.train.values(), *reserved))
    for name in ("shots", "task_shots"):
        wanted = getattr(config, name)
        if wanted > pictures:
            raise ConfigError(f"{name} = {wanted}: the smallest training class has {pictures} pictures; choose fewer")
    pictures = int(partition.meta_test.counts.min())
    if config.task_shots >= pictures:  # and one to ask
        raise ConfigError(
            f"task_shots = {config.task_shots}: the smallest meta-test class has {pictures} pictures, and a task asks "
            "for one more than its shots; choose fewer"
        )
    if config.backdoor_in_task > len(partition.backdoor_attacker.classes):
        raise ConfigError(
            f"backdoor_in_task = {config.backdoor_in_task}: there are "
            f"{len(partition.backdoor_attacker.classes)} backdoor classes; choose fewer"
        )
    _check_poison(config, int(partition.target_attacker.counts.sum()), int(partition.backdoor_attacker.counts.sum()))


def _check_poison(config, target_pictures, keyed_pictures):
    """Raise ``ConfigError`` where a poisoned episode asks for more pictures than the attacker owns."""
    if config.poison_backdoor > keyed_pictures:
        raise ConfigError(
            f"poison_backdoor = {config.poison_backdoor}, but the attacker owns {keyed_pictures} backdoor pictures"
        )
    if not config.target_replacement and config.poison_target > target_pictures:
        raise ConfigError(
            f"poison_target = {config.poison_target} without replacement, but the attacker owns "
            f"{target_pictures} target pictures: draw with replacement or take fewer"
        )
