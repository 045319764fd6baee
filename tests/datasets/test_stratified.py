"""The default partition: any number of classes, of any size (`datasets.stratified`)."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmeta.datasets.checks import check_partition
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.stratified import Shares, stratified
from tfmeta.errors import ConfigError, DataError

COUNTS = (7, 20, 5, 12, 9, 6, 8, 10, 11, 6, 5, 4)


def bank(counts=COUNTS, side=2):
    images = np.zeros((len(counts), max(counts), side, side, 1), np.uint8)
    return ImageBank("squares", images, tuple(f"class{row}" for row in range(len(counts))), counts=tuple(counts))


def images_of_class(subset, row):
    return {example for of, example in subset.images() if of == row}


def test_every_image_is_owned_once():
    split = check_partition(stratified(bank(), 0, 4, 1), bank(), 4, 1)
    shared = {"target": split.target_benign[2], "backdoor": split.backdoor_benign[2]}
    parts = [*split.train.values(), *split.validation.values(), split.meta_test, *shared.values()]
    parts += [split.target_attacker, split.backdoor_attacker, split.target_validation, split.backdoor_held_out]
    images = [part.images() for part in parts]
    assert sum(map(len, images)) == len(set().union(*images)) == sum(COUNTS)
    assert all(split.target_benign[user] is split.target_benign[2] for user in split.benign)


def test_classes_are_divided_by_their_shares():
    split = stratified(
        bank((8,) * 22), 1, 3, 1, Shares(backdoor_classes=2, meta_test=0.3, validation=0.25, attacker=0.5)
    )
    assert len(split.meta_test.classes) == 6 and [len(own.classes) for own in split.train.values()] == [5, 4, 4]
    assert set(split.meta_test.counts) == {8}
    for user in split.users:
        assert set(split.train[user].counts) == {6} and set(split.validation[user].counts) == {2}
    for role, number in (("target", 1), ("backdoor", 2)):
        parts = {name: getattr(split, f"{role}_{name}") for name in ("attacker", "validation")}
        sizes = {name: part.counts.tolist() for name, part in parts.items()}
        assert sizes == {"attacker": [4] * number, "validation": [2] * number}
        assert getattr(split, f"{role}_benign")[2].counts.tolist() == [2] * number


def test_named_classes_are_reserved():
    names = Shares(backdoor=("class3", "class0"), target="class7")
    split = stratified(bank(), 0, 2, 1, names)
    assert split.backdoor_attacker.classes.tolist() == [3, 0] and split.target_attacker.classes.tolist() == [7]
    assert split.digest != stratified(bank(), 1, 2, 1, names).digest


def test_the_seed_reserves_what_is_not_named():
    splits = [stratified(bank(), seed, 2, 1, Shares(target="class7")) for seed in range(20)]
    assert {split.target_attacker.classes[0] for split in splits} == {7}
    assert len({int(split.backdoor_attacker.classes[0]) for split in splits}) > 4
    assert stratified(bank(), 3, 2, 1, Shares(target="class7")).digest == splits[3].digest


def test_rotations_are_classes_of_the_same_user():
    split = stratified(bank(), 0, 2, 1, Shares(rotations=4))
    plain = stratified(bank(), 0, 2, 1)
    for user in split.users:
        assert split.train[user].classes.tolist() == np.repeat(plain.train[user].classes, 4).tolist()
        assert split.train[user].turns.tolist() == [0, 1, 2, 3] * len(plain.train[user].classes)
    assert not split.meta_test.turns.any()


BAD = {
    "unknown": (Shares(target="klass7"), {}, "squares has no class 'klass7'; did you mean class7"),
    "twice": (Shares(backdoor=("class7",), target="class7"), {}, "the class class7 is reserved twice"),
    "users": (Shares(), dict(users=9), r"federation\.users = 9: squares has 8 classes"),
    "all reserved": (Shares(backdoor_classes=12), {}, "squares has 12 classes, too few to reserve 12"),
    "none left": (Shares(backdoor_classes=11), {}, r"federation\.users = 2: squares has 0 classes|no classes"),
    "attackers": (
        Shares(backdoor=("class11",), target="class1"), dict(attackers=3, users=5),
        "the class class11 has 4 images, and needs 5",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_what_does_not_fit_is_named(kind):
    shares, given, message = BAD[kind]
    with pytest.raises((ConfigError, DataError), match=message):
        stratified(bank(), 0, **{"users": 2, "attackers": 1, **given}, shares=shares)


@pytest.mark.parametrize("seed", range(4))
def test_a_class_with_too_few_images_is_named_whatever_its_role(seed):
    with pytest.raises(
        DataError, match=r"squares: the class class5 has 1 image, and needs [23]: one .*add images or remove"
    ):
        stratified(bank((4, 4, 4, 4, 4, 1, 4, 4)), seed, 2, 1)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(7, 30), min_size=12, max_size=30), seed=st.integers(0, 2**31 - 1),
    users=st.integers(4, 6), attackers=st.integers(1, 3),
    shares=st.builds(
        Shares, backdoor_classes=st.integers(1, 3), meta_test=st.floats(0.01, 0.3),
        validation=st.floats(0.01, 1), attacker=st.floats(0.01, 1), rotations=st.sampled_from([1, 4]),
    ),
)  # fmt: skip
def test_any_bank_and_shares_keep_the_contract(counts, seed, users, attackers, shares):
    of = bank(counts)
    divide = functools.partial(stratified, of, seed, users, attackers, shares)
    if len(counts) - shares.backdoor_classes - 1 - max(1, round(0.3 * len(counts))) < users:
        return
    split = check_partition(divide(), of, users, attackers)
    assert all(len(split.attacker_share(user)[0].images()) for user in split.attackers)
    assert split.digest == divide().digest
