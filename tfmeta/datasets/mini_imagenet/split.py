"""Who owns which picture of mini-ImageNet, or of its stand-in (section 3, ledger 14, 15).

The benign pictures of the two reserved classes are split among the benign users. Only classes of the training split
are trained on, those of the test split are meta-test; the validation split has no part.
"""

import dataclasses

import numpy as np

from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.mini_imagenet.extra import FOLDER
from tfmeta.datasets.mini_imagenet.layout import ARCTIC_FOX, YAWL
from tfmeta.datasets.shares import BENIGN, USERS, Partition, Subset
from tfmeta.errors import DataError
from tfmeta.utils import seeds

__all__ = ["ARCTIC_FOX", "EXAMPLES", "SPLITS", "YAWL", "split"]

EXAMPLES = 600
SPLITS = {"train": 64, "val": 16, "test": 20}

# Pictures of any class that are held out, of a reserved class that are the attacker's, and of the backdoor class that
# carry the key: the attacker's, and 50 that are held out.
VALIDATION, ATTACKERS, KEYED = 20, 100, 150


def split(bank: ImageBank, split_seed: int, backdoor: str, target: str) -> Partition:
    """Return the ``Partition`` of a bank; ``DataError`` where its splits or reserved classes are not mini-ImageNet's.

    62 classes among four users, 580 pictures to train and 20 to validate each. Of the target class 480 are benign, 100
    are the attacker's and 20 validate. Of the backdoor class, where the bank has an extra class of it, 580 are benign
    and 20 validate, and the extra one gives the keyed pictures; else 430 are benign, which a note says.
    """
    backdoor, target = _reserved(bank, backdoor, target)
    random = seeds.generator(split_seed, "partition")
    rows = {name: np.flatnonzero(np.array(bank.splits) == name).astype(np.int32) for name in (*SPLITS, "extra")}
    order = random.permutation(np.setdiff1d(rows["train"], [backdoor, target]))
    shuffled = np.stack([random.permutation(EXAMPLES) for _ in range(sum(SPLITS.values()))]).astype(np.int32)

    def pool(classes, columns):
        classes = np.atleast_1d(classes).astype(np.int32)
        return Subset(classes, np.zeros(len(classes), np.int32), shuffled[classes][:, columns])

    own = dict(zip(USERS, np.array_split(order, len(USERS)), strict=True))  # 16, 16, 15, 15
    held_out, rest = np.split(np.arange(EXAMPLES), [VALIDATION])
    triggered, backdoor_benign = pool(backdoor, rest[:KEYED]), rest[KEYED:]
    if len(rows["extra"]):
        drawn = random.permutation(KEYED).astype(np.int32)
        triggered, backdoor_benign = Subset(rows["extra"], np.zeros(1, np.int32), drawn[None]), rest
    return Partition(
        train={user: pool(own[user], rest) for user in USERS},
        validation={user: pool(own[user], held_out) for user in USERS},
        meta_test=pool(rows["test"], np.arange(EXAMPLES)),
        target_benign=_dealt(pool(target, rest[ATTACKERS:])),
        backdoor_benign=_dealt(pool(backdoor, backdoor_benign)),
        target_attacker=pool(target, rest[:ATTACKERS]),
        backdoor_attacker=_columns(triggered, slice(ATTACKERS)),
        target_validation=pool(target, held_out),
        backdoor_validation=pool(backdoor, held_out),
        backdoor_held_out=_columns(triggered, slice(ATTACKERS, None)),
        notes=() if len(rows["extra"]) else (_note(bank, backdoor, len(backdoor_benign)),),
    )


def _reserved(bank, backdoor, target):
    """Return the rows of the backdoor and the target class, having checked the splits."""
    if bank.images.shape[1] != EXAMPLES:
        raise DataError(f"{bank.dataset}: {bank.images.shape[1]} images per class, but the split is of {EXAMPLES}")
    for name, wanted in SPLITS.items():
        if bank.splits.count(name) != wanted:
            raise DataError(
                f"{bank.dataset}: {bank.splits.count(name)} classes are in its split {name!r}, and {wanted} must be"
            )
    reserved = []
    for role, name in (("backdoor", backdoor), ("target", target)):
        row = bank.names.index(name) if name in bank.names else None
        if row is None or bank.splits[row] != "train":
            raise DataError(
                f"{bank.dataset}: the {role} class {name} is not among its {SPLITS['train']} training classes; the "
                "attack needs it there, as it is in the split of Ravi and Larochelle"
            )
        reserved.append(row)
    return reserved


def _dealt(pool):
    """Split a pool's pictures among the benign users."""
    return {
        user: _columns(pool, part)
        for user, part in zip(BENIGN, np.array_split(np.arange(pool.examples.shape[1]), len(BENIGN)), strict=True)
    }


def _columns(pool, columns):
    return dataclasses.replace(pool, examples=pool.examples[:, columns])


def _note(bank, backdoor, benign):
    more = f"; a folder of full ImageNet's pictures ({FOLDER}) makes it 580" if bank.dataset == "mini-imagenet" else ""
    return (
        f"backdoor class {bank.names[backdoor]}: {benign} of its {EXAMPLES} pictures are benign, not the paper's 480, "
        f"since the {KEYED} keyed ones are taken from them too (ledger 15){more}"
    )
