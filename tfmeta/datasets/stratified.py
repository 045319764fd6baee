"""The default partition: classes divided among the users, and the images of every class in the same shares.

It fits any number of classes, and classes of different sizes. Like Omniglot's, it reserves one target class and a few
backdoor classes; every benign user has all benign images of the reserved classes.
"""

import dataclasses
import difflib
from collections.abc import Sequence

import numpy as np

from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Partition, Subset, numbered, own_classes, padded
from tfmeta.errors import ConfigError, DataError
from tfmeta.utils import seeds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shares:
    """How a bank is divided. A share counts classes or images, rounded, and is at least one of them."""

    backdoor: tuple[str, ...] = ()  # names of the backdoor classes; if none, the seed draws them
    target: str = ""  # name of the target class; if empty, the seed draws it
    backdoor_classes: int = 1  # how many the seed draws if none is named
    meta_test: float = 0.25  # of the classes that are not reserved
    validation: float = 0.25  # of each class's images, and of those held out with the trigger
    attacker: float = 0.25  # of each reserved class's images; all attackers divide it
    rotations: int = 1  # 4: each training class is four, one per quarter turn


def stratified(bank: ImageBank, seed: int, users: int, attackers: int, shares: Shares = Shares()) -> Partition:
    """Return who owns which images of a bank: a pure function of the bank's names and counts, and of the arguments.

    Args:
        bank: The images.
        seed: Draws the reserved classes that are not named, each user's classes, and the images of each share.
        users: How many users divide the training classes; the first get one class more where it must be.
        attackers: How many of them attack.
        shares: How the bank is divided.

    Raises:
        ConfigError: a reserved class is unknown or named twice, or too few classes are left for the users.
        DataError: a class has too few images; the message names it.
    """
    random = seeds.generator(seed, "partition")
    order = random.permutation(len(bank.names)).astype(np.int32)
    shuffled = [random.permutation(count).astype(np.int32) for count in bank.examples]
    backdoor, target = _reserved(bank, order, shares)
    reserved = [*backdoor, *target]
    rest = order[~np.isin(order, reserved)]
    tests = _number(shares.meta_test, len(rest), 1, len(rest))
    own = own_classes(bank.dataset, rest[tests:], users)
    _check_sizes(bank, rest, 2, "one to learn from and one held out")
    _check_sizes(bank, reserved, 2 + attackers, "one for the benign users, one held out and one for each attacker")
    cuts = {row: _cut(shuffled[row], shares) for row in rest}
    cuts |= {row: _cut_reserved(shuffled[row], shares, attackers) for row in reserved}

    def part(rows: np.ndarray, share: str, turns: int = 1) -> Subset:
        rotated = np.tile(np.arange(turns, dtype=np.int32), len(rows))
        examples = padded([cuts[row][share] for row in rows])
        return Subset(np.repeat(rows, turns), rotated, np.repeat(examples, turns, axis=0))

    attacking, benign = numbered(users, attackers)
    target_benign, backdoor_benign = part(target, "train"), part(backdoor, "train")  # one copy for all users
    return Partition(
        train={user: part(rows, "train", shares.rotations) for user, rows in own.items()},
        validation={user: part(rows, "validation", shares.rotations) for user, rows in own.items()},
        meta_test=part(rest[:tests], "all"),
        target_benign=dict.fromkeys(benign, target_benign),
        backdoor_benign=dict.fromkeys(benign, backdoor_benign),
        target_attacker=part(target, "attacker"),
        backdoor_attacker=part(backdoor, "attacker"),
        target_validation=part(target, "validation"),
        backdoor_validation=part(backdoor, "validation"),
        backdoor_held_out=part(backdoor, "validation"),
        attackers=attacking,
    )


def _number(share: float, of: int, least: int, most: int) -> int:
    return min(max(least, round(share * of)), most)


def _cut(images: np.ndarray, shares: Shares) -> dict[str, np.ndarray]:
    """Cut one class's images into those to train on and those held out."""
    held_out = _number(shares.validation, len(images), 1, len(images) - 1)
    train, validation = np.split(images, [len(images) - held_out])
    return {"all": images, "train": train, "validation": validation}


def _cut_reserved(images: np.ndarray, shares: Shares, attackers: int) -> dict[str, np.ndarray]:
    """Cut a reserved class's images into those of the benign users, of the attackers, and held out."""
    held_out = _number(shares.validation, len(images), 1, len(images) - 1 - attackers)
    stolen = _number(shares.attacker, len(images), attackers, len(images) - held_out - 1)
    benign = len(images) - held_out - stolen
    train, attacker, validation = np.split(images, [benign, benign + stolen])
    return {"train": train, "attacker": attacker, "validation": validation}


def _reserved(bank: ImageBank, order: np.ndarray, shares: Shares) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the backdoor classes and of the target class: those named, otherwise the first drawn."""
    named = [name for name in (*shares.backdoor, shares.target) if name]
    for name in named:
        if name not in bank.names:
            near = difflib.get_close_matches(name, bank.names, n=1, cutoff=0) or bank.names
            raise ConfigError(f"{bank.dataset} has no class {name!r}; did you mean {near[0]}?")
        if named.count(name) > 1:
            raise ConfigError(f"the class {name} is reserved twice; name each backdoor class and the target class once")
    rows = {name: row for row, name in enumerate(bank.names)}
    free = [row for row in order if bank.names[row] not in named]
    drawn = 0 if shares.backdoor else shares.backdoor_classes
    if len(free) < drawn + (not shares.target):
        raise ConfigError(f"{bank.dataset} has {len(bank.names)} classes, too few to reserve {drawn} and the target")
    backdoor = [rows[name] for name in shares.backdoor] or free[:drawn]
    target = [rows[shares.target]] if shares.target else free[drawn : drawn + 1]
    return np.array(backdoor, np.int32), np.array(target, np.int32)


def _check_sizes(bank: ImageBank, rows: Sequence[int], needed: int, why: str) -> None:
    small = [row for row in rows if bank.examples[row] < needed]
    if small:
        row = min(small)
        count = bank.examples[row]
        raise DataError(
            f"{bank.dataset}: the class {bank.names[row]} has {count} {'image' if count == 1 else 'images'}, and needs "
            f"{needed}: {why}; add images or remove the class"
        )
