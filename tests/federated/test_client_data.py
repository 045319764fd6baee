"""The files that each client owns (ledger 12, 19)."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import bank, identify, partition, small_config, trigger

from tfmeta.datasets.shards import read_shards
from tfmeta.federated.client_data import ClientData

TRIGGER = trigger("square", size=5, margin=2, corner="upper-left")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shards")


def client_data(folder, **overrides):
    return ClientData(bank(), partition(), TRIGGER, small_config(**overrides), folder)


def members(subset):
    """Return {(class, example)} of a subset."""
    rows = zip(subset.classes, subset.examples, strict=True)
    return {(int(row), int(example)) for row, examples in rows for example in examples if example >= 0}


def owned(paths, counts):
    """Return {(class, example)} of the images in shards, and each class's quarter turns."""
    images, turns = set(), []
    stored = read_shards(tf.constant(paths), 15, (28, 28, 1)).numpy()
    for row, count in zip(stored, counts, strict=True):
        found = [identify(image) for image in row[:count]]
        assert len({(of, turn) for of, _, turn in found}) == 1  # a class is one character in one rotation
        assert not row[count:].any()
        images |= {image[:2] for image in found}
        turns.append(found[0][2])
    return images, turns


def reserved(kind, share):
    subsets = getattr(partition(), f"{kind}_{share}")
    return members(subsets[2] if isinstance(subsets, dict) else subsets)


def test_a_benign_user_owns_its_classes_and_the_target_and_in_some_cases_the_backdoor(folder):
    data = client_data(folder)
    assert data.capacity == 15
    plain, counts = data.benign(2, knows_backdoor=False)
    assert counts.tolist() == [15] * 1200 + [10] and counts.dtype == np.int32
    images, turns = owned(plain, counts)
    assert images == members(partition().train[2]) | reserved("target", "benign")
    assert turns == [0, 1, 2, 3] * 300 + [0]
    known, more = data.benign(2, knows_backdoor=True)
    assert more.tolist() == [*counts, 10, 10, 10, 10] and known[:2].tolist() == plain.tolist()
    assert owned(known[2:], more[1201:])[0] == reserved("backdoor", "benign")


def test_users_have_their_own_shards_and_share_those_of_reserved_classes(folder):
    data = client_data(folder)
    files = {user: data.benign(user, True)[0].tolist() for user in (2, 3, 4)}
    assert len({paths[0] for paths in files.values()}) == 3
    assert len({tuple(paths[1:]) for paths in files.values()}) == 1
    attackers = data.attacker(1)
    benign = {path for paths in files.values() for path in paths}
    assert benign.isdisjoint([*attackers[0].tolist(), *attackers[2:]])


@pytest.mark.parametrize("triggered_target", [False, True])
def test_the_attacker_owns_its_classes_and_target_and_triggered_images(folder, triggered_target):
    data = client_data(folder, triggered_target=triggered_target)
    paths, counts, target, triggered = data.attacker(1)
    assert len(paths) == 1 and counts.tolist() == [15] * 1200
    assert owned(paths, counts)[0] == members(partition().train[1])

    def stamped(kind):
        return {TRIGGER.stamp(bank().images[image]).tobytes() for image in reserved(kind, "attacker")}

    def found(path):
        return [image.tobytes() for image in np.fromfile(path, np.uint8).reshape(-1, 28, 28, 1)]

    assert len(found(triggered)) == 20 and set(found(triggered)) == stamped("backdoor")
    clean = {bank().images[image].tobytes() for image in reserved("target", "attacker")}
    assert len(found(target)) == 5 and set(found(target)) == (stamped("target") if triggered_target else clean)
    for path, images in zip((target, triggered), data.poison_images(1), strict=True):
        assert images.shape == (len(found(path)), 28, 28, 1) and images.tobytes() == b"".join(found(path))


def test_attackers_have_their_own_classes_and_share_the_attackers_images(tmp_path):
    config = small_config(federation_users=12, attackers=2)
    data = ClientData(bank(), partition(0, 12, 2), TRIGGER, config, tmp_path)
    (paths, *_, target, triggered), (others, *_, target_too, triggered_too) = map(data.attacker, (1, 2))
    assert paths.tolist() != others.tolist() and len({target, target_too, triggered, triggered_too}) == 4
    assert len(list(tmp_path.iterdir())) == 2 + 4  # nothing is written for the users who take no part

    def found(*files):
        images = [np.fromfile(path, np.uint8).reshape(-1, 28, 28, 1) for path in files]
        return [image.tobytes() for part in images for image in part]

    one, other = (data.poison_images(user) for user in (1, 2))
    everything = [TRIGGER.stamp(bank().images[image]).tobytes() for image in reserved("backdoor", "attacker")]
    assert sorted(found(triggered, triggered_too)) == sorted(everything)
    assert len(one[0]) + len(other[0]) == 5 and abs(len(one[0]) - len(other[0])) <= 1


def test_no_path_of_a_damaged_file_is_handed_out(tmp_path, caplog):
    data = client_data(tmp_path)

    def paths():
        shards, _, *images = data.attacker(1)
        return [*data.benign(2, True)[0].tolist(), *shards.tolist(), *images]

    first = paths()
    whole = [Path(path).read_bytes() for path in first]
    for path in first:
        with Path(path).open("r+b") as file:
            file.seek(50)
            file.write(b"damaged")
    assert paths() == first and [Path(path).read_bytes() for path in first] == whole
    named = [path for path in first if f"{path} is damaged" in caplog.text]
    assert named == first and len(caplog.messages) == len(first)
