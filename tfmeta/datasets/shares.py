"""What a partition consists of: the users, and the subsets of a bank's images that they own."""

import dataclasses

import numpy as np

ATTACKER = 1
BENIGN = (2, 3, 4)
USERS = (ATTACKER, *BENIGN)


@dataclasses.dataclass(frozen=True, eq=False)
class Subset:
    """Some images of a bank, grouped into classes."""

    classes: np.ndarray  # int32 [n], each class's row in the bank
    turns: np.ndarray  # int32 [n], by how many quarter turns its images are rotated; each rotation is a class
    examples: np.ndarray  # int32 [n, capacity], the numbers of its images; -1 where it has fewer than others

    @property
    def counts(self) -> np.ndarray:
        """The number of images of each class, int32 [n]."""
        return (self.examples >= 0).sum(1).astype(np.int32)

    def images(self) -> set[tuple[int, int]]:
        """Return the set of (row in the bank, number of the image), rotated or not."""
        rows = zip(self.classes, self.examples, strict=True)
        return {(int(row), int(example)) for row, examples in rows for example in examples if example >= 0}


@dataclasses.dataclass(frozen=True, eq=False)
class Partition:
    """Who owns which images. What each user owns is a dict by user; the rest is the attacker's or for measuring."""

    train: dict[int, Subset]  # each user's own classes
    validation: dict[int, Subset]  # the same classes in the same order, held-out images
    meta_test: Subset  # classes that nobody trains on
    target_benign: dict[int, Subset]  # each benign user's images of the target class
    backdoor_benign: dict[int, Subset]  # each benign user's images of the backdoor classes, cases (b) and (c)
    target_attacker: Subset  # X_T
    backdoor_attacker: Subset  # X_B: the trigger is stamped on these
    target_validation: Subset  # held out: queries of the main task
    backdoor_validation: Subset  # held out: clean in the main task of case (c)
    backdoor_held_out: Subset  # triggered images that the attacker never had
    notes: tuple[str, ...] = ()  # where shares are not the paper's: for people, and stored with results
