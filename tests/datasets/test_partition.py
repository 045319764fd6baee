"""Who owns which image: no image is on both sides of a boundary (ledger 11, 12, 19)."""

import dataclasses
import itertools

import numpy as np
import pytest
from core_fixtures import bank, partition, small_config

from tfmeta.config import PROFILE_NAMES, make_config
from tfmeta.datasets.glyphs import Glyphs
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.omniglot import Omniglot
from tfmeta.datasets.partition import Partition, Subset, check_fits, make_partition
from tfmeta.errors import ConfigError, DataError

BENIGN, USERS = (2, 3, 4), (1, 2, 3, 4)
SEEDS = (0, 1, 2**31 - 1)


def named_subsets(split):
    """Return {(field, user or None): Subset} of all subsets of a partition."""
    subsets = {}
    for field in dataclasses.fields(Partition):
        if field.name in ("notes", "attackers"):
            continue
        value = getattr(split, field.name)
        by_user = value if isinstance(value, dict) else {None: value}
        subsets |= {(field.name, user): subset for user, subset in by_user.items()}
    return subsets


def common(one, other):
    """Return whether two subsets may hold the same images."""
    names = {one[0], other[0]}
    # ledger 12: every benign user has all benign images of the reserved classes
    shared = len(names) == 1 and names <= {"target_benign", "backdoor_benign"}
    # the same held-out images, clean (main task of case c) and triggered
    return shared or names == {"backdoor_validation", "backdoor_held_out"}


@pytest.mark.parametrize("seed", SEEDS)
def test_no_image_is_on_both_sides_of_a_boundary(seed):
    images = {name: subset.images() for name, subset in named_subsets(partition(seed)).items()}
    assert len(images) == 4 + 4 + 1 + 3 + 3 + 5 and all(images.values())
    for one, other in itertools.combinations(images, 2):
        if common(one, other):
            assert images[one] == images[other], (one, other)
        else:
            assert images[one].isdisjoint(images[other]), (one, other)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_class_is_on_both_sides_of_a_boundary(seed):
    split = partition(seed)
    owners = [set(split.train[user].classes) for user in USERS]
    owners += [set(split.meta_test.classes), set(split.target_attacker.classes), set(split.backdoor_attacker.classes)]
    assert [len(classes) for classes in owners] == [300, 300, 300, 300, 418, 1, 4]
    assert len(set().union(*owners)) == 1623


def test_every_image_is_in_a_subset():
    images = set().union(*(subset.images() for subset in named_subsets(partition()).values()))
    assert len(images) == 1623 * 20


def test_shares_are_those_of_the_paper():
    split = partition()
    assert (split.users, split.attackers, split.benign) == (USERS, (1,), BENIGN)
    expected = {
        "train": (1200, 15), "validation": (1200, 5), "meta_test": (418, 20), "target_benign": (1, 10),
        "backdoor_benign": (4, 10), "target_attacker": (1, 5), "backdoor_attacker": (4, 5),
        "target_validation": (1, 5), "backdoor_validation": (4, 5), "backdoor_held_out": (4, 5),
    }  # fmt: skip
    assert {*expected, "notes", "attackers"} == {field.name for field in dataclasses.fields(Partition)}
    assert split.notes == ()
    for (name, _), subset in named_subsets(split).items():
        classes, images = expected[name]
        assert subset.classes.shape == subset.turns.shape == (classes,), name
        assert subset.examples.shape == (classes, images) and (subset.counts == images).all(), name
        assert subset.classes.dtype == subset.turns.dtype == subset.examples.dtype == subset.counts.dtype == np.int32
        assert all(len(set(row)) == images for row in subset.examples), name


def test_benign_users_and_the_attacker_have_the_same_reserved_classes():
    split = partition()
    for kind in ("target", "backdoor"):
        benign = getattr(split, f"{kind}_benign")
        assert set(benign) == set(BENIGN)
        held = [getattr(split, f"{kind}_attacker"), getattr(split, f"{kind}_validation"), *benign.values()]
        for subset in held:  # in one order: tasks name a backdoor class by its row
            assert subset.classes.tolist() == held[0].classes.tolist()
    assert split.backdoor_held_out.classes.tolist() == split.backdoor_attacker.classes.tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_characters_rotations_stay_with_its_user(seed):
    split = partition(seed)
    for user in USERS:
        subset = split.train[user]
        classes = list(zip(subset.classes.tolist(), subset.turns.tolist(), strict=True))
        assert sorted(classes) == sorted((row, turns) for row in set(subset.classes.tolist()) for turns in range(4))
        drawings = dict(zip(subset.classes.tolist(), subset.examples.tolist(), strict=True))
        for row, examples in zip(subset.classes.tolist(), subset.examples, strict=True):
            assert examples.tolist() == drawings[row]  # a drawing that trains upright does not validate lying down
    for (name, _), subset in named_subsets(split).items():
        if name not in ("train", "validation"):
            assert not subset.turns.any(), name


def test_validation_has_the_classes_of_training_in_its_order():
    split = partition()
    for user in USERS:
        assert (split.train[user].classes == split.validation[user].classes).all()
        assert (split.train[user].turns == split.validation[user].turns).all()


def test_a_partition_depends_on_shape_and_seed_alone():
    names = tuple(map(str, range(1623)))
    other_images = ImageBank("glyphs", np.zeros((1623, 20, 1, 1, 1), np.uint8), names)
    again = make_partition(other_images, Glyphs(), 1, 4, 1)
    for name, subset in named_subsets(partition(1)).items():
        for field in ("classes", "turns", "examples"):
            assert (getattr(subset, field) == getattr(named_subsets(again)[name], field)).all()
    assert (partition(0).train[1].classes != again.train[1].classes).any()
    assert (partition(0).target_attacker.classes != again.target_attacker.classes).any()


def test_each_character_has_its_own_choice_of_drawings():
    train = partition().train[2]
    held = {frozenset(row.tolist()) for row in train.examples}
    assert len(held) > 250  # of 300 characters; with a common choice of 15 one writer would validate everything


@pytest.mark.parametrize("shape", [(1622, 20), (1623, 19), (20, 1623), (100, 600)])
def test_a_bank_of_another_shape_is_refused(shape):
    other = ImageBank("omniglot", np.zeros((*shape, 1, 1, 1), np.uint8), tuple(map(str, range(shape[0]))))
    with pytest.raises(DataError, match=f"omniglot: {shape[0]} classes of {shape[1]} images"):
        make_partition(other, Omniglot(), 0, 4, 1)


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_every_profile_fits(profile):
    check_fits(make_config(bank().dataset, profile), partition())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (dict(ways=419), "ways = 419: .* 418 classes"),
        (dict(shots=11, target_shots=7), "shots = 11: .* 10 images"),
        (dict(task_shots=11), "task_shots = 11: .* 10 images"),
        (dict(target_replacement=False), "target_shots = 6: .* 5 target images.* without replacement"),
        (dict(ways=1200), "ways = 1200"),
    ],
)
def test_more_than_there_are_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_fits(small_config(**overrides), partition())


def test_exactly_as_many_as_there_are_is_accepted():
    check_fits(small_config(ways=418, task_shots=10, backdoor_classes_in_task=4), partition())
    check_fits(small_config(target_shots=5, triggered_shots=5, target_replacement=False), partition())


def first_rows(subset, rows):
    return Subset(subset.classes[:rows], subset.turns[:rows], subset.examples[:rows])


def test_backdoor_classes_and_images_are_counted():
    split = partition()
    few = dataclasses.replace(split, backdoor_attacker=first_rows(split.backdoor_attacker, 1))
    with pytest.raises(ConfigError, match="backdoor_classes_in_task = 2: there are 1 backdoor classes"):
        check_fits(small_config(backdoor_classes_in_task=2), few)
    with pytest.raises(ConfigError, match=r"triggered_shots = 6: .* 5 backdoor images"):
        check_fits(small_config(triggered_shots=6, target_shots=4), few)


def test_a_meta_test_class_needs_one_image_more_than_the_shots():
    split = partition()
    subset = split.meta_test
    for images in (5, 6):
        small = dataclasses.replace(split, meta_test=Subset(subset.classes, subset.turns, subset.examples[:, :images]))
        if images > 5:
            check_fits(small_config(task_shots=5), small)
        else:
            with pytest.raises(ConfigError, match="task_shots = 5: the smallest meta-test class has 5 images"):
                check_fits(small_config(task_shots=5), small)


def test_counts_leave_out_missing_images():
    examples = np.array([[3, 1, 2], [0, -1, -1], [4, 0, -1]], np.int32)
    subset = Subset(np.array([7, 8, 9], np.int32), np.zeros(3, np.int32), examples)
    assert subset.counts.tolist() == [3, 1, 2]
    assert subset.images() == {(7, 3), (7, 1), (7, 2), (8, 0), (9, 4), (9, 0)}


def test_the_papers_federation_has_the_partition_that_it_always_had():
    known = {0: "b214b7d78f4b516f", 4: "51229a682085ec9a"}
    assert {seed: partition(seed).digest[:16] for seed in known} == known


@pytest.mark.parametrize(("users", "attackers"), [(2, 1), (7, 3), (100, 2), (1200, 5)])
def test_any_number_of_users_divides_the_characters(users, attackers):
    split = partition(0, users, attackers)
    characters = [set(subset.classes.tolist()) for subset in split.train.values()]
    assert split.users == tuple(range(1, users + 1)) and tuple(split.train) == split.users == tuple(split.validation)
    assert split.attackers == split.users[:attackers] and tuple(split.target_benign) == split.benign
    assert {len(own) for own in characters} <= {1200 // users, -(-1200 // users)}
    assert len(set().union(*characters)) == sum(map(len, characters)) == 1200
    same = partition(0)
    assert split.meta_test.classes.tolist() == same.meta_test.classes.tolist()
    assert split.target_attacker.images() == same.target_attacker.images()


def test_a_hundred_users_need_no_more_memory_than_four():
    def size(split):
        arrays = [array for subset in named_subsets(split).values() for array in vars(subset).values()]
        return sum({id(array): array.nbytes for array in arrays}.values())

    assert size(partition(0, 100, 2)) == size(partition(0))


def test_too_many_users_for_an_episode_are_refused_with_their_field():
    check_fits(small_config(ways=48), partition(0, 100, 2))
    with pytest.raises(ConfigError, match=r"ways = 49: .* 48 classes; .* or fewer users \(federation.users = 100\)"):
        check_fits(small_config(ways=49), partition(0, 100, 2))
    with pytest.raises(ConfigError, match=r"federation.users = 1201: omniglot has 1200 classes"):
        partition(0, 1201)


def test_attackers_with_too_few_images_each_are_refused():
    fits = dict(shots=5, triggered_shots=4, target_shots=1)
    check_fits(small_config(**fits), partition(0, 20, 5))
    with pytest.raises(ConfigError, match=r"triggered_shots = 5: each of federation.attackers = 5 owns 4 backdoor"):
        check_fits(small_config(**fits | dict(shots=6, triggered_shots=5)), partition(0, 20, 5))
    with pytest.raises(ConfigError, match=r"federation.attackers = 6: .* choose at most 5"):
        check_fits(small_config(**fits), partition(0, 20, 6))


def test_the_smallest_class_is_named():
    split = partition()
    name = bank().names[split.target_benign[2].classes[0]]
    with pytest.raises(ConfigError, match=f"shots = 11: the smallest training class {name} has 10 images"):
        check_fits(small_config(shots=11, target_shots=7), split, bank().names)
