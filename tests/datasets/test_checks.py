"""What a data set from outside may return: an image bank, and a partition in which every image has one owner."""

import dataclasses

import numpy as np
import pytest
from test_stratified import bank

from tfmeta.datasets import open_dataset
from tfmeta.datasets.base import Dataset
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.partition import make_partition
from tfmeta.datasets.shares import Partition
from tfmeta.datasets.stratified import stratified
from tfmeta.errors import DataError


class Squares(Dataset):
    """Opens and divides what a test gives it."""

    GIVEN = None

    def open(self, data_dir, cache_dir, download=True):
        return self.GIVEN[0]() if isinstance(self.GIVEN, tuple) else self.GIVEN

    def partition(self, bank, seed, users, attackers):
        return self.GIVEN


Squares.NAME = "squares"


def opened(monkeypatch, tmp_path, given):
    monkeypatch.setattr(Squares, "GIVEN", given)
    return open_dataset(Squares(), tmp_path, tmp_path)


def test_a_bank_of_images_and_names_is_enough(monkeypatch, tmp_path):
    images = np.zeros((2, 3, 4, 4, 1), np.uint8)
    of = opened(monkeypatch, tmp_path, ImageBank("squares", images, ("a", "b")))
    assert len(of.digest) == 64 and of.splits == ("", "") and of.examples.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "data set squares: `open` must return an ImageBank, not NoneType"),
        ({"images": 1}, "must return an ImageBank, not dict"),
        ((lambda: ImageBank("squares", [[1]], ("a",)),), r"uint8 \[class, example, H, W, C\], not list"),
        ((lambda: ImageBank("squares", np.zeros((1, 1, 4, 4, 1)), ("a",)),), r"not float64 \[1, 1, 4, 4, 1\]"),
        ((lambda: ImageBank("squares", np.zeros((1, 4, 4, 1), np.uint8), ("a",)),), r"not uint8 \[1, 4, 4, 1\]"),
        ((lambda: ImageBank("squares", np.zeros((0, 1, 4, 4, 1), np.uint8), ()),), r"not uint8 \[0, 1, 4, 4, 1\]"),
        ((lambda: ImageBank("circles", np.zeros((1, 1, 4, 4, 1), np.uint8), ("a",)),), "a bank named 'circles'"),
    ],
)
def test_what_is_no_image_bank_is_refused(monkeypatch, tmp_path, given, message):
    with pytest.raises(DataError, match=message):
        opened(monkeypatch, tmp_path, given)


SPLIT = stratified(bank(), 0, 4, 1)
REST = {2: SPLIT.train[2], 3: SPLIT.train[3], 4: SPLIT.train[4]}


def changed(subset, **arrays):
    return dataclasses.replace(subset, **{name: np.array(array, np.int32) for name, array in arrays.items()})


def rows(subset, *chosen):
    return dataclasses.replace(subset, **{name: array[list(chosen)] for name, array in vars(subset).items()})


def repeated(subset):
    examples = subset.examples.copy()
    examples[0, 1] = examples[0, 0]
    return changed(subset, examples=examples)


def with_gap(subset):
    examples = subset.examples.copy()
    examples[0, 0] = -1
    return changed(subset, examples=examples)


def of_user_2(**changes):
    return dataclasses.replace(SPLIT, **{name: {**getattr(SPLIT, name), 2: one} for name, one in changes.items()})


T, V = SPLIT.train[2], SPLIT.validation[2]
BAD = {
    "nothing": (None, "`partition` must return a tfmeta.datasets.shares.Partition, not NoneType"),
    "too few users": (stratified(bank(), 0, 3, 1), r"`train` .* must be a dict of the users 1 to 4, not \[1, 2, 3\]"),
    "no dict": (dataclasses.replace(SPLIT, train=T), "`train` .* must be a dict of the users 1 to 4, not Subset"),
    "other attackers": (dataclasses.replace(SPLIT, attackers=(2,)), r"`attackers` .* is \[2\]; .* must be \[1\]"),
    "no subset": (of_user_2(train=[1, 2]), "`train` of user 2 must be a Subset, not list"),
    "floats": (
        of_user_2(train=dataclasses.replace(T, classes=T.classes.astype(np.float32))),
        "classes must be an int32 array, not float32",
    ),
    "lists": (of_user_2(train=dataclasses.replace(T, turns=[0, 0])), "turns must be an int32 array, not list"),
    "shapes": (of_user_2(train=changed(T, turns=[0])), r"`train` of user 2 must have classes \[n\]"),
    "empty": (of_user_2(train=rows(T)), "`train` of user 2 is empty"),
    "class without images": (
        of_user_2(validation=changed(V, examples=V.examples * 0 - 1)),
        "`validation` of user 2 is empty or has a class without",
    ),
    "no such class": (of_user_2(train=changed(T, classes=T.classes + 12)), "rows of the bank, from 0 to 11"),
    "no such image": (of_user_2(train=changed(T, examples=T.examples + 15)), "numbers of images that the class has"),
    "a gap": (of_user_2(train=with_gap(T)), "-1 only after a class's last image"),
    "an image twice": (of_user_2(train=repeated(T)), "has the same image twice in a class"),
    "a class twice": (of_user_2(train=rows(T, 0, 0)), "has a class twice"),
    "turns": (of_user_2(train=changed(T, turns=T.turns + 4)), "quarter turns from 0 to 3"),
    "other order": (of_user_2(validation=rows(V, 1, 0)), "`validation` of user 2 must have the classes of `train`"),
    "two users, one image": (
        of_user_2(train=SPLIT.train[3], validation=SPLIT.validation[3]),
        "`train` of user 3 and `train` of user 2 share an image of the class class",
    ),
    "validation in training": (of_user_2(validation=T), "`validation` of user 2 and `train` of user 2 share an image"),
    "trained and tested": (
        dataclasses.replace(SPLIT, meta_test=T),
        "`meta_test` has the class class.*, which somebody trains on",
    ),
    "target tested": (dataclasses.replace(SPLIT, meta_test=SPLIT.target_attacker), "`meta_test` has the class class"),
    "two targets": (
        dataclasses.replace(SPLIT, **dict.fromkeys(("target_attacker", "target_validation"), SPLIT.meta_test)),
        "`target_benign` of user 2 must have the classes of `target_validation`",
    ),
    "attacker's image": (
        dataclasses.replace(SPLIT, target_attacker=SPLIT.target_benign[2]),
        "`target_attacker` and `target_benign` of user 4 share an image",
    ),
    "known triggered": (
        dataclasses.replace(SPLIT, backdoor_held_out=SPLIT.backdoor_attacker),
        "`backdoor_held_out` and `backdoor_attacker` share an image",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_partition_that_breaks_the_contract_is_refused(monkeypatch, kind):
    given, message = BAD[kind]
    monkeypatch.setattr(Squares, "GIVEN", given)
    with pytest.raises(DataError, match=message) as error:
        make_partition(bank(), Squares(), 0, 4, 1)
    assert "data set squares" in str(error.value)


def test_a_partition_that_keeps_the_contract_is_returned(monkeypatch):
    monkeypatch.setattr(Squares, "GIVEN", SPLIT)
    assert make_partition(bank(), Squares(), 0, 4, 1) is SPLIT and isinstance(SPLIT, Partition)


def test_images_that_are_not_square_are_not_rotated(monkeypatch):
    wide = ImageBank("squares", np.zeros((12, 20, 2, 3, 1), np.uint8), bank().names, counts=bank().counts)
    turned = of_user_2(train=changed(T, turns=T.turns + 1), validation=changed(V, turns=V.turns + 1))
    monkeypatch.setattr(Squares, "GIVEN", turned)
    assert make_partition(bank(), Squares(), 0, 4, 1) is turned
    with pytest.raises(DataError, match="images of 2 x 3 pixels cannot be rotated"):
        make_partition(wide, Squares(), 0, 4, 1)
