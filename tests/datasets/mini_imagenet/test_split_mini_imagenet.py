"""Who owns which image of mini-ImageNet (ledger 14 and 15)."""

import dataclasses
import itertools
import logging

import numpy as np
import pytest
from core_fixtures import small_config
from test_partition import named_subsets

from tfmeta import registry
from tfmeta.datasets.glyphs_color import drawing
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.mini_imagenet.extra import NAME
from tfmeta.datasets.mini_imagenet.layout import ARCTIC_FOX, YAWL
from tfmeta.datasets.partition import check_fits, make_partition
from tfmeta.errors import ConfigError, DataError

ATTACKER, BENIGN, USERS = 1, (2, 3, 4), (1, 2, 3, 4)
NAMES = [f"n{number:08d}" for number in range(98)]
SEEDS = (0, 4, 2**31 - 1)


def bank(extra=False, **changes):
    """A bank of mini-ImageNet's shape, its splits mixed as they are when classes are sorted by name."""
    order = np.random.default_rng(0).permutation(100)
    names = tuple(np.array([YAWL, ARCTIC_FOX, *NAMES])[order].tolist())
    splits = tuple(np.array(["train"] * 64 + ["val"] * 16 + ["test"] * 20)[order].tolist())
    if extra:
        names, splits = (*names, NAME), (*splits, "extra")
    images = np.zeros((len(names), 600, 1, 1, 1), np.uint8)
    given = dict(dataset="mini-imagenet", images=images, names=names, digest="0" * 64, splits=splits)
    return ImageBank(**{**given, **changes})


def divide(of, seed, users=4, attackers=1):
    return make_partition(of, registry.find("datasets", of.dataset)(), seed, users, attackers)


@pytest.mark.parametrize("extra", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_image_is_in_two_subsets(seed, extra):
    """Benign users share none either: the benign images of reserved classes are divided (ledger 12)."""
    images = {name: subset.images() for name, subset in named_subsets(divide(bank(extra), seed)).items()}
    assert len(images) == 4 + 4 + 1 + 3 + 3 + 5 and all(images.values())
    for one, other in itertools.combinations(images, 2):
        assert images[one].isdisjoint(images[other]), (one, other)


@pytest.mark.parametrize("extra", [False, True])
def test_all_images_but_those_of_the_validation_split_are_in_a_subset(extra):
    of, split = bank(extra), divide(bank(extra), 0)
    used = set().union(*(subset.images() for subset in named_subsets(split).values()))
    wanted = {(row, k) for row in range(100) if of.splits[row] != "val" for k in range(600)}
    assert used == wanted | ({(100, k) for k in range(150)} if extra else set())


@pytest.mark.parametrize("extra", [False, True])
def test_shares_are_those_of_the_ledger(extra):
    of = bank(extra)
    split = divide(of, 0)
    yawl = {2: 194, 3: 193, 4: 193} if extra else {2: 144, 3: 143, 4: 143}
    expected = {
        **{("train", user): (classes, 580) for user, classes in zip(USERS, (16, 16, 15, 15), strict=True)},
        **{("validation", user): (classes, 20) for user, classes in zip(USERS, (16, 16, 15, 15), strict=True)},
        **{("target_benign", user): (1, 160) for user in BENIGN},
        **{("backdoor_benign", user): (1, yawl[user]) for user in BENIGN},
        ("meta_test", None): (20, 600), ("target_attacker", None): (1, 100), ("backdoor_attacker", None): (1, 100),
        ("target_validation", None): (1, 20), ("backdoor_validation", None): (1, 20),
        ("backdoor_held_out", None): (1, 50),
    }  # fmt: skip
    subsets = named_subsets(split)
    assert set(subsets) == set(expected)
    for name, subset in subsets.items():
        classes, images = expected[name]
        assert subset.classes.shape == subset.turns.shape == (classes,), name
        assert subset.examples.shape == (classes, images) and (subset.counts == images).all(), name
        assert subset.classes.dtype == subset.turns.dtype == subset.examples.dtype == np.int32, name
        assert not subset.turns.any(), name
        rows = {of.names[row] for row in subset.classes}
        if "backdoor" in name[0]:
            triggered = name[0] in ("backdoor_attacker", "backdoor_held_out")
            assert rows == {NAME if triggered and extra else YAWL}, name
        elif "target" in name[0]:
            assert rows == {ARCTIC_FOX}, name
        else:
            assert {of.splits[row] for row in subset.classes} == {"test" if name[0] == "meta_test" else "train"}, name
            assert rows.isdisjoint({YAWL, ARCTIC_FOX}), name


def test_validation_has_the_classes_of_training_in_its_order():
    split = divide(bank(), 0)
    for user in USERS:
        assert (split.train[user].classes == split.validation[user].classes).all()
    assert len(set(np.concatenate([split.train[user].classes for user in USERS]).tolist())) == 62


def test_the_seed_divides_classes_and_images_but_does_not_change_the_reserved_ones():
    one, other, again = (divide(bank(), seed) for seed in (0, 1, 0))
    assert (one.train[ATTACKER].classes != other.train[ATTACKER].classes).any()
    assert set(one.backdoor_attacker.examples[0]) != set(other.backdoor_attacker.examples[0])
    assert one.backdoor_attacker.classes == other.backdoor_attacker.classes
    for name, subset in named_subsets(one).items():
        for field in ("classes", "turns", "examples"):
            assert (getattr(subset, field) == getattr(named_subsets(again)[name], field)).all()
    rows = {frozenset(row) for user in USERS for row in one.validation[user].examples.tolist()}
    assert len(rows) == 62  # each class has its own order of images


def test_a_smaller_benign_share_gives_a_note(caplog):
    with caplog.at_level(logging.INFO):
        (note,) = divide(bank(), 0).notes
        assert divide(bank(extra=True), 0).notes == ()
    for part in ("mini-ImageNet has 600 images of the yawl", "730", "150 more", f"extra/{YAWL}", "430"):
        assert part in note
    assert [record.getMessage() for record in caplog.records] == [note]


def test_the_stand_in_reserves_the_classes_that_it_names():
    names = tuple(name for name, _ in drawing.letters())
    of = bank(dataset="glyphs-color", names=names, splits=drawing.SPLITS)
    split = divide(of, 4)
    assert names[split.backdoor_attacker.classes[0]] == drawing.BACKDOOR
    assert names[split.target_attacker.classes[0]] == drawing.TARGET
    (note,) = split.notes
    assert "430" in note and "ImageNet" not in note


FOREIGN = {
    "no yawl": (
        dict(names=("x", *NAMES, ARCTIC_FOX)),
        rf"the backdoor class {YAWL} is not among its 64 training classes",
    ),
    "no fox": (dict(names=(YAWL, *NAMES, "x")), rf"the target class {ARCTIC_FOX} is not among its 64"),
    "yawl in the test split": (
        dict(names=(ARCTIC_FOX, *NAMES, YAWL)), rf"the backdoor class {YAWL} is not among its 64"
    ),
    "another split": (dict(splits=("train",) * 65 + ("val",) * 15 + ("test",) * 20), "65 classes are in its split"),
    "another data set": (dict(dataset="omniglot"), "omniglot: 100 classes of 600 images, .* 1623 classes of 20"),
    "too few images": (
        dict(images=np.zeros((100, 599, 1, 1, 1), np.uint8)),
        "mini-imagenet: 599 images per class, but the split is of 600",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_bank_that_does_not_fit_is_refused(kind):
    changes, message = FOREIGN[kind]
    plain = dict(splits=("train",) * 64 + ("val",) * 16 + ("test",) * 20)
    with pytest.raises(DataError, match=message):
        divide(bank(**{**plain, **changes}), 0)


def test_the_papers_shots_fit_and_more_do_not():
    split = divide(bank(), 0)
    paper = dict(shots=15, triggered_shots=5, target_shots=10)
    check_fits(small_config(**paper, task_shots=143), split)
    check_fits(small_config(**paper, target_replacement=False), split)
    with pytest.raises(ConfigError, match="task_shots = 144: the smallest training class has 143 images"):
        check_fits(small_config(**paper, task_shots=144), split)
    with pytest.raises(ConfigError, match="ways = 16: the smallest share has 15 classes"):
        check_fits(small_config(**paper, ways=16), split)
    with pytest.raises(ConfigError, match="backdoor_classes_in_task = 2: there are 1 backdoor classes"):
        check_fits(small_config(**paper, backdoor_classes_in_task=2), split)


@pytest.mark.parametrize("extra", [False, True])
def test_the_papers_federation_has_the_partition_that_it_always_had(extra):
    known = {False: "592d10d4137814c2", True: "f38644aedefd6778"}
    assert divide(bank(extra), 4).digest[:16] == known[extra]


@pytest.mark.parametrize(("users", "attackers"), [(2, 1), (12, 3), (62, 10)])
def test_any_number_of_users_divides_the_classes(users, attackers):
    split = divide(bank(), 0, users, attackers)
    own = [len(subset.classes) for subset in split.train.values()]
    assert sum(own) == 62 and set(own) <= {62 // users, -(-62 // users)}
    for benign, images in ((split.target_benign, 480), (split.backdoor_benign, 430)):
        assert tuple(benign) == split.benign
        assert len(set().union(*(subset.images() for subset in benign.values()))) == images
    assert sum(len(split.attacker_share(user)[0].images()) for user in split.attackers) == 100


def test_too_many_users_are_refused_with_their_field():
    paper = dict(shots=15, triggered_shots=5, target_shots=10)
    check_fits(small_config(**paper), divide(bank(), 0, 12))
    with pytest.raises(ConfigError, match=r"ways = 5: .* 4 classes; .* or fewer users \(federation.users = 13\)"):
        check_fits(small_config(**paper), divide(bank(), 0, 13))
    with pytest.raises(ConfigError, match=r"federation.users = 63: mini-imagenet has 62 classes"):
        divide(bank(), 0, 63)


@pytest.mark.needs_data
def test_real_mini_imagenet_is_divided_among_the_users(mini_imagenet_bank):
    split = divide(mini_imagenet_bank, 4)
    assert mini_imagenet_bank.names[split.backdoor_attacker.classes[0]] == YAWL
    owners = [set(split.train[user].classes.tolist()) for user in USERS]
    assert sorted(map(len, owners)) == [15, 15, 16, 16] and len(set().union(*owners)) == 62
    assert dataclasses.asdict(split)["notes"]
