"""Who owns which character of Omniglot, or of a bank of its shape (section 3, ledger 11, 12).

One share is common: the benign pictures of the reserved classes are with every benign user, since a 10-shot episode
needs all ten of them (ledger 12).
"""

import numpy as np

from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import BENIGN, USERS, Partition, Subset
from tfmeta.errors import DataError
from tfmeta.utils import seeds

# 1200 characters among four users, 418 for meta-test, 4 backdoor and 1 target class
# reserved; of 20 drawings 15 train and 5 validate; of a reserved class 10 are benign, 5 the attacker's, 5 validate.
CLASSES, EXAMPLES = 1623, 20
BACKDOOR_CLASSES, CHARACTERS_A_USER = 4, 300
TRAIN_EXAMPLES, BENIGN_EXAMPLES, ATTACKER_EXAMPLES = 15, 10, 5
ROTATIONS = 4


def split(bank: ImageBank, split_seed: int) -> Partition:
    """Return the ``Partition`` of a bank of ``CLASSES`` classes of ``EXAMPLES`` pictures."""
    classes, examples = bank.images.shape[:2]
    if (classes, examples) != (CLASSES, EXAMPLES):
        raise DataError(
            f"{bank.dataset}: {classes} classes of {examples} images, but the split is of {CLASSES} classes of {EXAMPLES}"
        )
    random = seeds.generator(split_seed, "partition")
    order = random.permutation(classes).astype(np.int32)
    shuffled = np.stack([random.permutation(examples) for _ in range(classes)]).astype(np.int32)

    def pool(rows, columns, turns=1):
        return Subset(
            classes=np.repeat(rows, turns),
            turns=np.tile(np.arange(turns, dtype=np.int32), len(rows)),
            examples=np.repeat(shuffled[rows][:, columns], turns, axis=0),
        )

    backdoor, target = order[:BACKDOOR_CLASSES], order[BACKDOOR_CLASSES : BACKDOOR_CLASSES + 1]
    rest = order[BACKDOOR_CLASSES + 1 :]
    own = {user: rest[i * CHARACTERS_A_USER :][:CHARACTERS_A_USER] for i, user in enumerate(USERS)}
    train, held_out = slice(TRAIN_EXAMPLES), slice(TRAIN_EXAMPLES, examples)
    benign, attackers = slice(BENIGN_EXAMPLES), slice(BENIGN_EXAMPLES, BENIGN_EXAMPLES + ATTACKER_EXAMPLES)
    return Partition(
        train={user: pool(own[user], train, ROTATIONS) for user in USERS},
        validation={user: pool(own[user], held_out, ROTATIONS) for user in USERS},
        meta_test=pool(rest[len(USERS) * CHARACTERS_A_USER :], slice(None)),
        target_benign={user: pool(target, benign) for user in BENIGN},
        backdoor_benign={user: pool(backdoor, benign) for user in BENIGN},
        target_attacker=pool(target, attackers),
        backdoor_attacker=pool(backdoor, attackers),
        target_validation=pool(target, held_out),
        backdoor_validation=pool(backdoor, held_out),
        backdoor_held_out=pool(backdoor, held_out),
    )
