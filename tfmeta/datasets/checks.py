"""What every data set owes its callers: an image bank, and a partition in which nobody sees what it must not see.

A data set from outside is checked like the built-in ones, so a mistake ends here and not in a result.
"""

import dataclasses
from typing import Any

import numpy as np

from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Partition, Subset
from tfmeta.errors import DataError

_BY_USER = {"train": "users", "validation": "users", "target_benign": "benign", "backdoor_benign": "benign"}


def check_bank(dataset: str, bank: Any) -> ImageBank:
    """Return what a data set's `open` returned, or raise `DataError` if it is no image bank of that data set."""
    if not isinstance(bank, ImageBank):
        raise DataError(f"data set {dataset}: `open` must return an ImageBank, not {type(bank).__name__}")
    if bank.dataset != dataset:
        raise DataError(f"data set {dataset}: `open` returned a bank named {bank.dataset!r}; give it its data set's name")
    return bank


def check_partition(partition: Any, bank: ImageBank, users: int, attackers: int) -> Partition:
    """Return what a data set's `partition` returned, unless it breaks the contract.

    Nobody's images may be anybody else's, with two exceptions: benign users may share images of the reserved classes,
    and the held-out triggered images may be the clean held-out ones.

    Raises:
        DataError: the message names the part of the partition and says what it must be.
    """
    if not isinstance(partition, Partition):
        wanted = "a tfmeta.datasets.shares.Partition"
        raise DataError(f"data set {bank.dataset}: `partition` must return {wanted}, not {type(partition).__name__}")
    parts = _parts(partition, bank, users, attackers)
    for name, subset in parts:
        _check_subset(f"data set {bank.dataset}: {name}", subset, bank)
    _check_classes(partition, bank)
    _check_overlap(parts, bank)
    return partition


def _parts(partition: Partition, bank: ImageBank, users: int, attackers: int) -> list[tuple[str, Subset]]:
    """Return the subsets with their names, or raise `DataError` if a user is missing."""
    roles = {"users": tuple(range(1, users + 1)), "attackers": tuple(range(1, attackers + 1))}
    roles["benign"] = roles["users"][attackers:]
    if tuple(partition.attackers) != roles["attackers"]:
        found = f"{list(partition.attackers)}; its attackers must be {list(roles['attackers'])}"
        raise DataError(f"data set {bank.dataset}: `attackers` of its partition is {found}")
    parts = []
    for field in dataclasses.fields(Partition):
        value = getattr(partition, field.name)
        if field.name in _BY_USER:
            wanted = roles[_BY_USER[field.name]]
            if not isinstance(value, dict) or tuple(sorted(value)) != wanted:
                found = sorted(value) if isinstance(value, dict) else type(value).__name__
                raise DataError(
                    f"data set {bank.dataset}: `{field.name}` of its partition must be a dict of the users "
                    f"{wanted[0]} to {wanted[-1]}, not {found}"
                )
            parts += [(f"`{field.name}` of user {user}", value[user]) for user in wanted]
        elif field.name not in ("notes", "attackers"):
            parts.append((f"`{field.name}`", value))
    return parts


def _check_subset(name: str, subset: Any, bank: ImageBank) -> None:
    if not isinstance(subset, Subset):
        raise DataError(f"{name} must be a Subset, not {type(subset).__name__}")
    arrays = {"classes": subset.classes, "turns": subset.turns, "examples": subset.examples}
    for field, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype != np.int32:
            found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise DataError(f"{name}: {field} must be an int32 array, not {found}")
    if not (subset.classes.shape == subset.turns.shape == subset.examples.shape[:1] and subset.examples.ndim == 2):
        found = ", ".join(f"{field} {list(array.shape)}" for field, array in arrays.items())
        raise DataError(f"{name} must have classes [n], turns [n] and examples [n, capacity], not {found}")
    if not subset.classes.size or not subset.examples.size or not subset.counts.all():
        raise DataError(f"{name} is empty or has a class without images; every share needs at least one of each class")
    if subset.classes.min() < 0 or subset.classes.max() >= len(bank.names):
        raise DataError(f"{name}: classes must be rows of the bank, from 0 to {len(bank.names) - 1}")
    if (subset.examples < -1).any() or (subset.examples >= bank.examples[subset.classes][:, None]).any():
        raise DataError(f"{name}: examples must be numbers of images that the class has, or -1 after the last")
    if (subset.examples[:, :-1] < subset.examples[:, 1:])[subset.examples[:, :-1] < 0].any():
        raise DataError(f"{name}: examples may be -1 only after a class's last image")
    ordered = np.sort(subset.examples, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise DataError(f"{name} has the same image twice in a class; each may be there once")
    if (subset.turns < 0).any() or (subset.turns > 3).any():
        raise DataError(f"{name}: turns must be quarter turns from 0 to 3")
    height, width = bank.images.shape[2:4]
    if height != width and (subset.turns % 2).any():
        raise DataError(f"{name}: images of {height} x {width} pixels cannot be rotated by a quarter turn")


def _check_classes(partition: Partition, bank: ImageBank) -> None:
    """Check which classes are in which part: tasks pair classes by their place, and reserved classes are nobody's."""
    for user in partition.users:
        train, validation = partition.train[user], partition.validation[user]
        if not (np.array_equal(train.classes, validation.classes) and np.array_equal(train.turns, validation.turns)):
            raise DataError(
                f"data set {bank.dataset}: `validation` of user {user} must have the classes of `train`, in its order"
            )
    reserved = {"target": 1, "backdoor": len(partition.backdoor_attacker.classes)}
    for role, number in reserved.items():
        held = [f"{role}_attacker", f"{role}_validation", *(["backdoor_held_out"] if role == "backdoor" else [])]
        subsets = {name: getattr(partition, name) for name in held}
        subsets |= {f"{role}_benign` of user {user}": getattr(partition, f"{role}_benign")[user] for user in partition.benign}
        for name, subset in subsets.items():
            if len(subset.classes) != number:
                raise DataError(f"data set {bank.dataset}: `{name} must have {number} classes, not {len(subset.classes)}")
