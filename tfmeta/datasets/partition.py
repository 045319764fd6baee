"""Who owns which image: users' classes, the attacker's share, validation, meta-test (ledger 11, 12, 14, 15, 19).

A partition is a pure function of a seed and of the bank's shape, splits and class names. It names images, and `shards`
fetches them. Each data set defines its own. Tests check that nothing is on both sides of training / validation,
benign / attacker and meta-training / meta-test.
"""

import logging

from tfmeta import registry
from tfmeta.config import Config
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import ATTACKER, BENIGN, USERS, Partition, Subset
from tfmeta.errors import ConfigError

__all__ = ["ATTACKER", "BENIGN", "USERS", "Partition", "Subset", "check_fits", "make_partition"]

_log = logging.getLogger(__name__)


def make_partition(bank: ImageBank, split_seed: int) -> Partition:
    """Return who owns which images of a bank, and log where that is not the paper's partition.

    Raises:
        DataError: the bank's shape or classes do not fit the data set's partition.
    """
    partition = registry.load("datasets", bank.dataset).partition(bank, split_seed)
    for note in partition.notes:
        _log.info("%s", note)
    return partition


def check_fits(config: Config, partition: Partition) -> None:
    """Check that no episode or task needs more classes or images than there are.

    Raises:
        ConfigError: one does; the message names the field and how many there are.
    """
    ways, task_shots = config.meta_learning.ways, config.evaluation.task_shots
    classes = min(len(subset.classes) for subset in (*partition.train.values(), partition.meta_test))
    if ways > classes:
        raise ConfigError(f"ways = {ways}: the smallest share has {classes} classes; choose fewer")
    reserved = (*partition.target_benign.values(), *partition.backdoor_benign.values())
    images = min(int(subset.counts.min()) for subset in (*partition.train.values(), *reserved))
    for name, wanted in (("shots", config.meta_learning.shots), ("task_shots", task_shots)):
        if wanted > images:
            raise ConfigError(f"{name} = {wanted}: the smallest training class has {images} images; choose fewer")
    images = int(partition.meta_test.counts.min())
    if task_shots >= images:  # a task needs a query too
        raise ConfigError(
            f"task_shots = {task_shots}: the smallest meta-test class has {images} images, and a task needs one more "
            "than its shots; choose fewer"
        )
    backdoors, wanted = len(partition.backdoor_attacker.classes), config.evaluation.backdoor_classes_in_task
    if wanted > backdoors:
        raise ConfigError(f"backdoor_classes_in_task = {wanted}: there are {backdoors} backdoor classes; choose fewer")
    _check_poison(config, int(partition.target_attacker.counts.sum()), int(partition.backdoor_attacker.counts.sum()))


def _check_poison(config: Config, target_images: int, backdoor_images: int) -> None:
    """Raise `ConfigError` if a poisoned episode needs more images than the attacker owns."""
    attack = config.attack
    if attack.triggered_shots > backdoor_images:
        raise ConfigError(
            f"attack.triggered_shots = {attack.triggered_shots}: the attacker owns {backdoor_images} backdoor images; "
            "choose fewer"
        )
    if not attack.target_replacement and attack.target_shots > target_images:
        raise ConfigError(
            f"attack.target_shots = {attack.target_shots} without replacement: the attacker owns {target_images} target "
            "images; draw with replacement or choose fewer"
        )
