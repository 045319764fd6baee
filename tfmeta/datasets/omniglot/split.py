"""Who owns which character of Omniglot, or of a bank of its shape (section 3, ledger 11, 12).

Every benign user has all benign images of the reserved classes, since a 10-shot episode needs all ten (ledger 12).
"""

import numpy as np

from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Partition, Subset, numbered, own_classes
from tfmeta.errors import DataError
from tfmeta.utils import seeds

# 1200 characters are divided among the users, 418 are for meta-test; 4 backdoor classes and 1 target class are
# reserved. Of 20 drawings 15 train and 5 validate; of a reserved class 10 are benign, 5 the attacker's, 5 validate.
CLASSES, EXAMPLES = 1623, 20
BACKDOOR_CLASSES, TRAIN_CLASSES = 4, 1200
TRAIN_EXAMPLES, BENIGN_EXAMPLES, ATTACKER_EXAMPLES = 15, 10, 5
ROTATIONS = 4


def divide(bank: ImageBank, seed: int, users: int, attackers: int) -> Partition:
    """Return who owns which images of a bank; the seed also decides which classes are reserved.

    Each of a user's characters is four classes, one per rotation. Raises `ConfigError` if there are more users than
    characters, and `DataError` if the bank does not have `CLASSES` classes of `EXAMPLES` images.
    """
    classes, examples = bank.images.shape[:2]
    if (classes, examples) != (CLASSES, EXAMPLES):
        wanted = f"{CLASSES} classes of {EXAMPLES}"
        raise DataError(f"{bank.dataset}: {classes} classes of {examples} images, but the split is of {wanted}")
    random = seeds.generator(seed, "partition")
    order = random.permutation(classes).astype(np.int32)
    shuffled = np.stack([random.permutation(examples) for _ in range(classes)]).astype(np.int32)

    def subset(rows: np.ndarray, columns: slice, turns: int = 1) -> Subset:
        return Subset(
            classes=np.repeat(rows, turns),
            turns=np.tile(np.arange(turns, dtype=np.int32), len(rows)),
            examples=np.repeat(shuffled[rows][:, columns], turns, axis=0),
        )

    backdoor, target = order[:BACKDOOR_CLASSES], order[BACKDOOR_CLASSES : BACKDOOR_CLASSES + 1]
    rest = order[BACKDOOR_CLASSES + 1 :]
    attacking, benign_users = numbered(users, attackers)
    own = own_classes(bank.dataset, rest[:TRAIN_CLASSES], users)
    train, held_out = slice(TRAIN_EXAMPLES), slice(TRAIN_EXAMPLES, examples)
    benign, attacker = slice(BENIGN_EXAMPLES), slice(BENIGN_EXAMPLES, BENIGN_EXAMPLES + ATTACKER_EXAMPLES)
    target_benign, backdoor_benign = subset(target, benign), subset(backdoor, benign)  # one copy for all users
    return Partition(
        train={user: subset(rows, train, ROTATIONS) for user, rows in own.items()},
        validation={user: subset(rows, held_out, ROTATIONS) for user, rows in own.items()},
        meta_test=subset(rest[TRAIN_CLASSES:], slice(None)),
        target_benign=dict.fromkeys(benign_users, target_benign),
        backdoor_benign=dict.fromkeys(benign_users, backdoor_benign),
        target_attacker=subset(target, attacker),
        backdoor_attacker=subset(backdoor, attacker),
        target_validation=subset(target, held_out),
        backdoor_validation=subset(backdoor, held_out),
        backdoor_held_out=subset(backdoor, held_out),
        attackers=attacking,
    )
