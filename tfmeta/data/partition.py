"""Who owns which picture: users' classes, the attacker's share, validation, meta-test (ledger 11, 12, 19).

A partition is a pure function of the bank's shape and a seed. It names pictures; ``pools.py`` fetches them.
Walls that the tests hold: training / validation, benign / attacker, meta-training / meta-test. One share is
common: the benign pictures of the reserved classes are with every benign user, since a 10-shot episode needs all
ten of them (ledger 12).
"""

import dataclasses

import numpy as np

from tfmeta import seeds
from tfmeta.errors import ConfigError, DataError

ATTACKER = 1
BENIGN = (2, 3, 4)
USERS = (ATTACKER, *BENIGN)

# Omniglot, section 3: 1200 characters among four users, 418 for meta-test, 4 backdoor and 1 target class
# reserved; of 20 drawings 15 train and 5 validate; of a reserved class 10 are benign, 5 the attacker's, 5 validate.
CLASSES, EXAMPLES = 1623, 20
BACKDOOR_CLASSES, CHARACTERS_A_USER = 4, 300
TRAIN_EXAMPLES, BENIGN_EXAMPLES, ATTACKER_EXAMPLES = 15, 10, 5
ROTATIONS = 4


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """Some pictures of a bank, as classes.

    ``classes`` int32 [n]: each class's row in the bank; ``turns`` int32 [n]: the quarter turns that make it a
    class of its own; ``examples`` int32 [n, capacity]: its pictures, -1 where it has fewer than others.
    """

    classes: np.ndarray
    turns: np.ndarray
    examples: np.ndarray

    @property
    def counts(self):
        """Pictures of each class, int32 [n]."""
        return (self.examples >= 0).sum(1).astype(np.int32)

    def pictures(self):
        """Return the set of (class, picture) in the pool, turned or not."""
        rows = zip(self.classes, self.examples, strict=True)
        return {(int(row), int(example)) for row, examples in rows for example in examples if example >= 0}


@dataclasses.dataclass(frozen=True, eq=False)
class Partition:
    """All pools. Those that users own are dicts by user; the others are the attacker's or whoever measures'."""

    train: dict[int, Pool]  # each user's own classes
    validation: dict[int, Pool]  # the same classes in the same order, held-out pictures
    meta_test: Pool  # classes that nobody trains on
    target_benign: dict[int, Pool]  # the target class in each benign user's bank
    backdoor_benign: dict[int, Pool]  # the backdoor classes there, cases (b) and (c)
    target_attacker: Pool  # X_T
    backdoor_attacker: Pool  # X_B: the key is stamped on these
    target_validation: Pool  # held out: the main task's query
    backdoor_validation: Pool  # held out: clean in the main task of case (c)
    backdoor_held_out: Pool  # keyed pictures that the attacker never had


def make_partition(bank, split_seed):
    """Split an Omniglot-shaped bank; raises ``DataError`` where its shape does not fit."""
    classes, examples = bank.images.shape[:2]
    if (classes, examples) != (CLASSES, EXAMPLES):
        raise DataError(
            f"{bank.dataset}: {classes} classes of {examples} pictures, but this split is of {CLASSES} classes "
            f"of {EXAMPLES}"
        )
    random = seeds.generator(split_seed, "partition")
    order = random.permutation(classes).astype(np.int32)
    shuffled = np.stack([random.permutation(examples) for _ in range(classes)]).astype(np.int32)

    def pool(rows, columns, turns=1):
        return Pool(
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
