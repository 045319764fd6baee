"""What a partition consists of: the users, and the subsets of a bank's images that they own."""

import dataclasses
import functools
import hashlib

import numpy as np

from tfmeta.errors import ConfigError


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

    def divided(self, parts: int) -> list["Subset"]:
        """Divide the images of each class evenly, in their order, among `parts` subsets of the same classes.

        The first parts get one image more where it must be. A single part is the subset itself.
        """
        if parts == 1:
            return [self]
        shares = [np.array_split(row[row >= 0], parts) for row in self.examples]
        return [Subset(self.classes, self.turns, padded([share[part] for share in shares])) for part in range(parts)]


def numbered(users: int, attackers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the numbers of the attackers and those of the benign users."""
    everyone = tuple(range(1, users + 1))
    return everyone[:attackers], everyone[attackers:]


def own_classes(dataset: str, classes: np.ndarray, users: int) -> dict[int, np.ndarray]:
    """Divide classes among the users, in their order; the first users get one more where it must be.

    Raises:
        ConfigError: there are more users than classes.
    """
    if users > len(classes):
        raise ConfigError(
            f"federation.users = {users}: {dataset} has {len(classes)} classes to divide among them, and each user "
            f"needs classes of its own; choose fewer users"
        )
    return dict(enumerate(np.array_split(classes, users), 1))


def padded(rows: list[np.ndarray]) -> np.ndarray:
    """Return the numbers of each class's images as int32 [n, capacity], -1 after the last one."""
    examples = np.full((len(rows), max(map(len, rows), default=0)), -1, np.int32)
    for number, row in enumerate(rows):
        examples[number, : len(row)] = row
    return examples


@dataclasses.dataclass(frozen=True, eq=False)
class Partition:
    """Who owns which images. What each user owns is a dict by user; the rest is the attackers' or for measuring.

    Users are numbered from 1. The attackers come first: with A attackers among U users, they are 1 to A, and the benign
    users are A + 1 to U.
    """

    train: dict[int, Subset]  # each user's own classes
    validation: dict[int, Subset]  # the same classes in the same order, held-out images
    meta_test: Subset  # classes that nobody trains on
    target_benign: dict[int, Subset]  # each benign user's images of the target class
    backdoor_benign: dict[int, Subset]  # each benign user's images of the backdoor classes, cases (b) and (c)
    target_attacker: Subset  # X_T, of all attackers
    backdoor_attacker: Subset  # X_B, of all attackers: the trigger is stamped on these
    target_validation: Subset  # held out: queries of the main task
    backdoor_validation: Subset  # held out: clean in the main task of case (c)
    backdoor_held_out: Subset  # triggered images that no attacker ever had
    notes: tuple[str, ...] = ()  # where shares are not the paper's: for people, and stored with results
    attackers: tuple[int, ...] = (1,)  # the users who attack

    @property
    def users(self) -> tuple[int, ...]:
        """All users, in order."""
        return tuple(sorted(self.train))

    @property
    def benign(self) -> tuple[int, ...]:
        """The users who do not attack, in order."""
        return tuple(user for user in self.users if user not in self.attackers)

    def attacker_share(self, user: int) -> tuple[Subset, Subset]:
        """Return an attacker's own images of the target class and of the backdoor classes.

        The images of each class are divided evenly among the attackers; a single attacker has them all.

        Raises:
            ConfigError: there are fewer images of a class than attackers, or `user` is no attacker.
        """
        if user not in self.attackers:
            attackers = ", ".join(map(str, self.attackers))
            raise ConfigError(f"user {user} is no attacker; the attackers are {attackers}")
        number, attackers = self.attackers.index(user), len(self.attackers)
        for role, subset in (("target", self.target_attacker), ("backdoor", self.backdoor_attacker)):
            if (fewest := int(subset.counts.min())) < attackers:
                raise ConfigError(
                    f"federation.attackers = {attackers}: the attackers share {fewest} images of a {role} class, and "
                    f"each needs one of its own; choose at most {fewest}"
                )
        return self.target_attacker.divided(attackers)[number], self.backdoor_attacker.divided(attackers)[number]

    @functools.cached_property
    def digest(self) -> str:
        """The sha256 (hexadecimal) of who owns which images, the roles of the users included."""
        digest = hashlib.sha256(repr((self.users, self.attackers)).encode())
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in ("notes", "attackers"):
                for user, subset in sorted(value.items() if isinstance(value, dict) else {0: value}.items()):
                    digest.update(f"{field.name} {user}".encode())
                    for array in (subset.classes, subset.turns, subset.examples):
                        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array, "<i4").tobytes())
        return digest.hexdigest()
