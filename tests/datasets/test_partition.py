"""Who owns which picture: the walls that few-shot code breaks (ledger 11, 12, 19)."""

import dataclasses
import itertools
import types

import numpy as np
import pytest
from core_fixtures import bank, partition, small_config

from tfmeta.config import PROFILE_NAMES, make_config
from tfmeta.datasets.partition import ATTACKER, BENIGN, USERS, Partition, Subset, check_fits, make_partition
from tfmeta.errors import ConfigError, DataError

SEEDS = (0, 1, 2**31 - 1)


def named_pools(split):
    """Return {(field, user or None): Pool} of all pools of a partition."""
    pools = {}
    for field in dataclasses.fields(Partition):
        if field.name == "notes":
            continue
        value = getattr(split, field.name)
        pools |= {
            (field.name, user): pool for user, pool in (value.items() if isinstance(value, dict) else [(None, value)])
        }
    return pools


def common(one, other):
    """The only pairs of pools that may hold the same pictures."""
    names = {one[0], other[0]}
    # ledger 12: the benign pictures of a reserved class are with every benign user that trains on it
    shared = len(names) == 1 and names <= {"target_benign", "backdoor_benign"}
    # the same held-out pictures, asked clean (main task of case c) and with the key
    return shared or names == {"backdoor_validation", "backdoor_held_out"}


@pytest.mark.parametrize("seed", SEEDS)
def test_no_picture_is_on_two_sides_of_a_wall(seed):
    pictures = {name: pool.pictures() for name, pool in named_pools(partition(seed)).items()}
    assert len(pictures) == 4 + 4 + 1 + 3 + 3 + 5 and all(pictures.values())
    for one, other in itertools.combinations(pictures, 2):
        if common(one, other):
            assert pictures[one] == pictures[other], (one, other)
        else:
            assert pictures[one].isdisjoint(pictures[other]), (one, other)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_class_is_on_two_sides_of_a_wall(seed):
    split = partition(seed)
    owners = [set(split.train[user].classes) for user in USERS]
    owners += [set(split.meta_test.classes), set(split.target_attacker.classes), set(split.backdoor_attacker.classes)]
    assert [len(classes) for classes in owners] == [300, 300, 300, 300, 418, 1, 4]
    assert len(set().union(*owners)) == 1623


def test_every_picture_has_a_place():
    pictures = set().union(*(pool.pictures() for pool in named_pools(partition()).values()))
    assert len(pictures) == 1623 * 20


def test_shares_are_the_papers():
    split = partition()
    assert (ATTACKER, BENIGN) == (1, (2, 3, 4))
    expected = {
        "train": (1200, 15), "validation": (1200, 5), "meta_test": (418, 20), "target_benign": (1, 10),
        "backdoor_benign": (4, 10), "target_attacker": (1, 5), "backdoor_attacker": (4, 5),
        "target_validation": (1, 5), "backdoor_validation": (4, 5), "backdoor_held_out": (4, 5),
    }  # fmt: skip
    assert {*expected, "notes"} == {field.name for field in dataclasses.fields(Partition)} and split.notes == ()
    for (name, _), pool in named_pools(split).items():
        classes, pictures = expected[name]
        assert pool.classes.shape == pool.turns.shape == (classes,), name
        assert pool.examples.shape == (classes, pictures) and (pool.counts == pictures).all(), name
        assert pool.classes.dtype == pool.turns.dtype == pool.examples.dtype == pool.counts.dtype == np.int32
        assert all(len(set(row)) == pictures for row in pool.examples), name


def test_reserved_classes_are_the_same_everywhere_and_not_the_attackers_alone():
    split = partition()
    for kind in ("target", "backdoor"):
        benign = getattr(split, f"{kind}_benign")
        assert set(benign) == set(BENIGN)
        held = [getattr(split, f"{kind}_attacker"), getattr(split, f"{kind}_validation"), *benign.values()]
        for pool in held:  # in one order: tasks name a backdoor class by its row
            assert pool.classes.tolist() == held[0].classes.tolist()
    assert split.backdoor_held_out.classes.tolist() == split.backdoor_attacker.classes.tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_characters_rotations_stay_with_its_user(seed):
    split = partition(seed)
    for user in USERS:
        pool = split.train[user]
        classes = list(zip(pool.classes.tolist(), pool.turns.tolist(), strict=True))
        assert sorted(classes) == sorted((row, turns) for row in set(pool.classes.tolist()) for turns in range(4))
        drawings = {row: examples.tolist() for row, examples in zip(pool.classes.tolist(), pool.examples, strict=True)}
        for row, examples in zip(pool.classes.tolist(), pool.examples, strict=True):
            assert examples.tolist() == drawings[row]  # a drawing that trains upright does not validate lying down
    for (name, _), pool in named_pools(split).items():
        if name not in ("train", "validation"):
            assert not pool.turns.any(), name


def test_validation_has_the_classes_of_training_in_its_order():
    split = partition()
    for user in USERS:
        assert (split.train[user].classes == split.validation[user].classes).all()
        assert (split.train[user].turns == split.validation[user].turns).all()


def test_a_partition_is_a_function_of_shape_and_seed_alone():
    other_pictures = types.SimpleNamespace(dataset="glyphs", images=np.zeros((1623, 20, 1, 1, 1), np.uint8))
    again = make_partition(other_pictures, 1)
    for name, pool in named_pools(partition(1)).items():
        for field in ("classes", "turns", "examples"):
            assert (getattr(pool, field) == getattr(named_pools(again)[name], field)).all()
    assert (partition(0).train[1].classes != again.train[1].classes).any()
    assert (partition(0).target_attacker.classes != again.target_attacker.classes).any()


def test_drawings_are_dealt_anew_for_each_character():
    train = partition().train[2]
    held = {frozenset(row.tolist()) for row in train.examples}
    assert len(held) > 250  # of 300 characters; a common choice of 15 would let one drawer validate everything


@pytest.mark.parametrize("shape", [(1622, 20), (1623, 19), (20, 1623), (100, 600)])
def test_a_bank_of_another_shape_is_refused(shape):
    other = types.SimpleNamespace(dataset="mini", images=np.zeros((*shape, 1, 1, 1), np.uint8))
    with pytest.raises(DataError, match=f"mini: {shape[0]} classes of {shape[1]} pictures"):
        make_partition(other, 0)


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_every_profile_fits(profile):
    check_fits(make_config(bank().dataset, profile), partition())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (dict(ways=419), "ways = 419: .* 418 classes"),
        (dict(shots=11, target_shots=7), "shots = 11: .* 10 pictures"),
        (dict(task_shots=11), "task_shots = 11: .* 10 pictures"),
        (dict(target_replacement=False), "poison_target = 6 without replacement, .* 5 target pictures"),
        (dict(ways=1200), "ways = 1200"),
    ],
)
def test_more_than_there_is_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_fits(small_config(**overrides), partition())


def test_all_there_is_is_not_refused():
    check_fits(small_config(ways=418, task_shots=10, backdoor_classes_in_task=4), partition())
    check_fits(small_config(target_shots=5, triggered_shots=5, target_replacement=False), partition())


def first_rows(pool, rows):
    return Subset(pool.classes[:rows], pool.turns[:rows], pool.examples[:rows])


def test_backdoor_classes_and_pictures_are_counted():
    split = partition()
    few = dataclasses.replace(split, backdoor_attacker=first_rows(split.backdoor_attacker, 1))
    with pytest.raises(ConfigError, match="backdoor_in_task = 2: there are 1 backdoor classes"):
        check_fits(small_config(backdoor_classes_in_task=2), few)
    with pytest.raises(ConfigError, match=r"poison_backdoor = 6, .* 5 backdoor pictures"):
        check_fits(small_config(triggered_shots=6, target_shots=4), few)


def test_a_meta_test_class_needs_a_picture_more_than_the_shots():
    split = partition()
    pool = split.meta_test
    for pictures in (5, 6):
        small = dataclasses.replace(split, meta_test=Subset(pool.classes, pool.turns, pool.examples[:, :pictures]))
        if pictures > 5:
            check_fits(small_config(task_shots=5), small)
        else:
            with pytest.raises(ConfigError, match="task_shots = 5: the smallest meta-test class has 5 pictures"):
                check_fits(small_config(task_shots=5), small)


def test_counts_leave_out_what_is_not_there():
    examples = np.array([[3, 1, 2], [0, -1, -1], [4, 0, -1]], np.int32)
    pool = Subset(np.array([7, 8, 9], np.int32), np.zeros(3, np.int32), examples)
    assert pool.counts.tolist() == [3, 1, 2]
    assert pool.pictures() == {(7, 3), (7, 1), (7, 2), (8, 0), (9, 4), (9, 0)}
