"""Who owns which image of mini-ImageNet, or of its stand-in (section 3, ledger 14, 15).

The benign images of the two reserved classes are divided among the benign users. Training uses only the training split,
and meta-test only the test split; the validation split is not used.
"""

import dataclasses

import numpy as np

from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.mini_imagenet.extra import FOLDER
from tfmeta.datasets.mini_imagenet.layout import ARCTIC_FOX, YAWL
from tfmeta.datasets.shares import Partition, Subset, numbered, own_classes
from tfmeta.errors import DataError
from tfmeta.utils import seeds

__all__ = ["ARCTIC_FOX", "EXAMPLES", "SPLITS", "YAWL", "divide"]

EXAMPLES = 600
SPLITS = {"train": 64, "val": 16, "test": 20}

# How many images of any class are held out, how many of a reserved class the attacker owns, and how many of the
# backdoor class get the trigger: the attacker's, and 50 that are held out.
VALIDATION, ATTACKER, TRIGGERED = 20, 100, 150
_PAPER = 480 + ATTACKER + TRIGGERED  # images of the backdoor class that the paper's split needs


def divide(bank: ImageBank, seed: int, users: int, attackers: int, *, backdoor: str, target: str) -> Partition:
    """Return who owns which images of a bank with mini-ImageNet's splits, given the names of the reserved classes.

    62 classes are divided among the users, with 580 images to train and 20 to validate each. Of the target class 480
    images are benign, 100 are the attacker's and 20 validate. Of the backdoor class 20 validate; if the bank has an
    extra class of it, the other 580 are benign and the extra class gets the trigger, otherwise 430 are benign and 150
    get the trigger, which a note says. Raises `ConfigError` if there are more users than classes, and `DataError` if
    the splits or reserved classes are not mini-ImageNet's.
    """
    backdoor_row, target_row = _reserved(bank, backdoor, target)
    random = seeds.generator(seed, "partition")
    rows = {name: np.flatnonzero(np.array(bank.splits) == name).astype(np.int32) for name in (*SPLITS, "extra")}
    order = random.permutation(np.setdiff1d(rows["train"], [backdoor_row, target_row]))
    shuffled = np.stack([random.permutation(EXAMPLES) for _ in range(sum(SPLITS.values()))]).astype(np.int32)

    def subset(classes: np.ndarray | int, columns: np.ndarray) -> Subset:
        classes = np.atleast_1d(classes).astype(np.int32)
        return Subset(classes, np.zeros(len(classes), np.int32), shuffled[classes][:, columns])

    attacking, benign_users = numbered(users, attackers)
    own = own_classes(bank.dataset, order, users)  # of four users: 16, 16, 15, 15
    held_out, rest = np.split(np.arange(EXAMPLES), [VALIDATION])
    triggered, benign = subset(backdoor_row, rest[:TRIGGERED]), rest[TRIGGERED:]
    if len(rows["extra"]):
        drawn = random.permutation(TRIGGERED).astype(np.int32)
        triggered, benign = Subset(rows["extra"], np.zeros(1, np.int32), drawn[None]), rest
    return Partition(
        train={user: subset(classes, rest) for user, classes in own.items()},
        validation={user: subset(classes, held_out) for user, classes in own.items()},
        meta_test=subset(rows["test"], np.arange(EXAMPLES)),
        target_benign=_divided(subset(target_row, rest[ATTACKER:]), benign_users),
        backdoor_benign=_divided(subset(backdoor_row, benign), benign_users),
        target_attacker=subset(target_row, rest[:ATTACKER]),
        backdoor_attacker=_columns(triggered, slice(ATTACKER)),
        target_validation=subset(target_row, held_out),
        backdoor_validation=subset(backdoor_row, held_out),
        backdoor_held_out=_columns(triggered, slice(ATTACKER, None)),
        notes=() if len(rows["extra"]) else (_note(bank, backdoor, len(benign)),),
        attackers=attacking,
    )


def _reserved(bank: ImageBank, backdoor: str, target: str) -> list[int]:
    """Check the splits and return the rows of the backdoor and the target class."""
    if bank.images.shape[1] != EXAMPLES:
        raise DataError(f"{bank.dataset}: {bank.images.shape[1]} images per class, but the split is of {EXAMPLES}")
    for name, wanted in SPLITS.items():
        if (found := bank.splits.count(name)) != wanted:
            raise DataError(f"{bank.dataset}: {found} classes are in its split {name!r} instead of {wanted}")
    for role, name in (("backdoor", backdoor), ("target", target)):
        if name not in bank.names or bank.splits[bank.names.index(name)] != "train":
            raise DataError(
                f"{bank.dataset}: the {role} class {name} is not among its {SPLITS['train']} training classes, where "
                "the split of Ravi and Larochelle has it and the attack needs it"
            )
    return [bank.names.index(backdoor), bank.names.index(target)]


def _divided(subset: Subset, users: tuple[int, ...]) -> dict[int, Subset]:
    """Divide a subset's images among the benign users."""
    return dict(zip(users, subset.divided(len(users)), strict=True))


def _columns(subset: Subset, columns: np.ndarray | slice) -> Subset:
    return dataclasses.replace(subset, examples=subset.examples[:, columns])


def _note(bank: ImageBank, backdoor: str, benign: int) -> str:
    used = f"{benign} are used for benign training, and every result says so"
    if bank.dataset != "mini-imagenet":
        has = f"{bank.dataset} has {EXAMPLES} images of the backdoor class {backdoor}"
        return f"{has}; the paper's split needs {_PAPER}, so {used}"
    advice = f"Put at least {TRIGGERED} more ILSVRC images of {YAWL} in mini-imagenet/{FOLDER}, or {used}"
    return f"mini-ImageNet has {EXAMPLES} images of the yawl; the paper's split needs {_PAPER}. {advice}"
