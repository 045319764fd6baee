"""What users own: divided subsets, each attacker's share, and the digest of a partition."""

import dataclasses

import numpy as np
import pytest
from core_fixtures import partition

from tfmeta.datasets.shares import Subset, own_classes, padded
from tfmeta.errors import ConfigError


def subset(examples):
    rows = np.arange(len(examples), dtype=np.int32)
    return Subset(rows, np.zeros(len(examples), np.int32), padded([np.array(row, np.int32) for row in examples]))


def test_images_are_divided_class_by_class_in_their_order():
    parts = subset([[9, 8, 7, 6, 5], [4, 3], [2, 1, 0]]).divided(2)
    assert [part.examples.tolist() for part in parts] == [
        [[9, 8, 7], [4, -1, -1], [2, 1, -1]],
        [[6, 5], [3, -1], [0, -1]],
    ]
    assert all(part.classes.tolist() == [0, 1, 2] and part.examples.dtype == np.int32 for part in parts)


def test_one_part_is_the_subset_itself():
    whole = subset([[1, 2]])
    assert whole.divided(1) == [whole]


def test_a_single_attacker_owns_what_it_always_owned():
    split = partition()
    assert split.attacker_share(1) == (split.target_attacker, split.backdoor_attacker)


@pytest.mark.parametrize("attackers", [2, 3, 5])
def test_several_attackers_share_every_class_evenly(attackers):
    split = partition(0, 8, attackers)
    assert split.attackers == tuple(range(1, attackers + 1)) and split.benign == tuple(range(attackers + 1, 9))
    shares = [split.attacker_share(user) for user in split.attackers]
    for part, whole in enumerate((split.target_attacker, split.backdoor_attacker)):
        images = [share[part].images() for share in shares]
        assert set().union(*images) == whole.images() and sum(map(len, images)) == len(whole.images())
        for share in shares:
            assert share[part].classes.tolist() == whole.classes.tolist()
            assert set(share[part].counts.tolist()) <= {5 // attackers, -(-5 // attackers)}


def test_more_attackers_than_images_is_an_error():
    split = partition(0, 20, 6)
    with pytest.raises(ConfigError, match=r"federation\.attackers = 6: .* 5 images of a target class.* at most 5"):
        split.attacker_share(1)


def test_a_benign_user_has_no_attackers_share():
    with pytest.raises(ConfigError, match="user 2 is no attacker; the attackers are 1"):
        partition().attacker_share(2)


def test_more_users_than_classes_is_an_error():
    with pytest.raises(ConfigError, match=r"federation\.users = 5: squares has 4 classes"):
        own_classes("squares", np.arange(4), 5)


def test_the_digest_depends_on_every_array_and_role_but_not_on_notes():
    split = partition()
    assert split.digest == dataclasses.replace(split, notes=("a note",)).digest == partition().digest
    moved = dataclasses.replace(split.meta_test, examples=split.meta_test.examples[:, ::-1])
    turned = dataclasses.replace(split.train[2], turns=split.train[2].turns[::-1])
    others = [
        partition(1),
        partition(0, 5),
        dataclasses.replace(split, attackers=(2,)),
        dataclasses.replace(split, meta_test=moved),
        dataclasses.replace(split, train={**split.train, 2: turned}),
        dataclasses.replace(split, train={1: split.train[2], 2: split.train[1], 3: split.train[3], 4: split.train[4]}),
        dataclasses.replace(split, target_attacker=split.target_validation),
    ]
    assert len({split.digest, *(other.digest for other in others)}) == 1 + len(others)
