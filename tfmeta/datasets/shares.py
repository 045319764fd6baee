"""What a partition consists of: the users, and pools of pictures that they own."""

import dataclasses

import numpy as np

ATTACKER = 1
BENIGN = (2, 3, 4)
USERS = (ATTACKER, *BENIGN)


@dataclasses.dataclass(frozen=True, eq=False)
class Subset:
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

    train: dict[int, Subset]  # each user's own classes
    validation: dict[int, Subset]  # the same classes in the same order, held-out pictures
    meta_test: Subset  # classes that nobody trains on
    target_benign: dict[int, Subset]  # the target class in each benign user's bank
    backdoor_benign: dict[int, Subset]  # the backdoor classes there, cases (b) and (c)
    target_attacker: Subset  # X_T
    backdoor_attacker: Subset  # X_B: the key is stamped on these
    target_validation: Subset  # held out: the main task's query
    backdoor_validation: Subset  # held out: clean in the main task of case (c)
    backdoor_held_out: Subset  # keyed pictures that the attacker never had
    notes: tuple[str, ...] = ()  # where shares are not the paper's: for people, and to be stored with results
