"""Who owns which image: users' classes, the attacker's share, validation, meta-test (ledger 11, 12, 14, 15, 19).

Each data set defines its partition, a pure function of a seed and of the bank's shape, splits and class names. It names
images, and `shards` fetches them.
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
    partition = registry.find("datasets", bank.dataset)().partition(bank, split_seed)
    for note in partition.notes:
        _log.info("%s", note)
    return partition


def check_fits(config: Config, partition: Partition) -> None:
    """Raise `ConfigError`, which names the field, if an episode or task needs more classes or images than there are."""
    trained = (*partition.train.values(), *partition.target_benign.values(), *partition.backdoor_benign.values())
    classes = min(len(subset.classes) for subset in (*partition.train.values(), partition.meta_test))
    images = min(int(subset.counts.min()) for subset in trained)
    queries = int(partition.meta_test.counts.min()) - 1  # a task needs a query besides its shots
    backdoors = len(partition.backdoor_attacker.classes)
    triggered, targets = int(partition.backdoor_attacker.counts.sum()), int(partition.target_attacker.counts.sum())
    checks = [
        ("meta_learning.ways", classes, f"the smallest share has {classes} classes"),
        ("meta_learning.shots", images, f"the smallest training class has {images} images"),
        ("evaluation.task_shots", images, f"the smallest training class has {images} images"),
        ("evaluation.task_shots", queries, f"the smallest meta-test class has {queries + 1} images, one is the query"),
        ("evaluation.backdoor_classes_in_task", backdoors, f"there are {backdoors} backdoor classes"),
        ("attack.triggered_shots", triggered, f"the attacker owns {triggered} backdoor images"),
    ]
    if not config.attack.target_replacement:
        reason = f"the attacker owns {targets} target images, to be drawn without replacement"
        checks.append(("attack.target_shots", targets, reason))
    for field, available, reason in checks:
        if config[field] > available:
            raise ConfigError(f"{field} = {config[field]}: {reason}; choose at most {available}")
