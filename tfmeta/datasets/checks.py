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
        raise DataError(f"data set {dataset}: `open` returned a bank named {bank.dataset!r}; give it self.NAME")
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
    _check_classes(partition, parts, bank)
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
    if len({*zip(subset.classes.tolist(), subset.turns.tolist(), strict=True)}) < len(subset.classes):
        raise DataError(f"{name} has a class twice; put its images into one row")
    ordered = np.sort(subset.examples, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise DataError(f"{name} has the same image twice in a class; each may be there once")
    if (subset.turns < 0).any() or (subset.turns > 3).any():
        raise DataError(f"{name}: turns must be quarter turns from 0 to 3")
    height, width = bank.images.shape[2:4]
    if height != width and (subset.turns % 2).any():
        raise DataError(f"{name}: images of {height} x {width} pixels cannot be rotated by a quarter turn")


def _check_classes(partition: Partition, parts: list[tuple[str, Subset]], bank: ImageBank) -> None:
    """Check which classes are where: tasks pair classes by their place, and some classes are nobody's own."""
    where, own, reserved = f"data set {bank.dataset}", set(), set()
    for user in partition.users:
        train, validation = partition.train[user], partition.validation[user]
        if not (np.array_equal(train.classes, validation.classes) and np.array_equal(train.turns, validation.turns)):
            raise DataError(f"{where}: `validation` of user {user} must have the classes of `train`, in its order")
        own |= set(train.classes.tolist())
    for role in ("target", "backdoor"):
        clean, triggered = getattr(partition, f"{role}_validation").classes, partition.backdoor_attacker.classes
        for name, subset in ((name, subset) for name, subset in parts if name.startswith(f"`{role}_")):
            # triggered images may be of a class of their own
            wanted = triggered if name == "`backdoor_held_out`" else clean
            if name != "`backdoor_attacker`" and not np.array_equal(subset.classes, wanted):
                like = "backdoor_attacker" if wanted is triggered else f"{role}_validation"
                raise DataError(f"{where}: {name} must have the classes of `{like}`, in its order")
            if shared := own & set(subset.classes.tolist()):
                raise DataError(f"{where}: {name} has the class {bank.names[min(shared)]}, which is a user's own too")
            reserved |= set(subset.classes.tolist())
    if len(partition.target_validation.classes) != 1 or len(clean) != len(triggered):
        found = f"{len(partition.target_validation.classes)} target classes, {len(clean)} backdoor classes held out"
        raise DataError(
            f"{where}: has {found} and {len(triggered)} with the trigger; there must be one target class, and as many "
            "backdoor classes in every part"
        )
    own |= reserved
    if shared := own & set(partition.meta_test.classes.tolist()):
        raise DataError(f"{where}: `meta_test` has the class {bank.names[min(shared)]}, which somebody trains on")


def _check_overlap(parts: list[tuple[str, Subset]], bank: ImageBank) -> None:
    """Check that no image has two owners, with one number per image: the part that has it."""
    owner = np.full(bank.images.shape[:2], -1, np.int32)
    owners: list[str] = []
    for name, subset in parts:
        rows, columns = np.nonzero(subset.examples >= 0)
        images = (subset.classes[rows], subset.examples[rows, columns])
        for other in np.unique(owner[images]):
            if other >= 0 and not _may_share(name, owners[other]):
                row = int(images[0][owner[images] == other][0])
                raise DataError(
                    f"data set {bank.dataset}: {name} and {owners[other]} share an image of the class "
                    f"{bank.names[row]}; each image has one owner"
                )
        owner[images] = len(owners)
        owners.append(name)


def _may_share(one: str, other: str) -> bool:
    """Return whether two parts may have the same images."""
    benign = {name.partition(" of user ")[0] for name in (one, other)}
    held_out = {"`backdoor_validation`", "`backdoor_held_out`"}
    return benign in ({"`target_benign`"}, {"`backdoor_benign`"}) or {one, other} == held_out
