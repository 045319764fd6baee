"""Poisoned episodes (section 2; ledger 12, 13)."""

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import attack_context, identity_bank, read_identity, small_config

from tfmeta import registry
from tfmeta.attacks.base import AttackerData
from tfmeta.meta_learning import episodes
from tfmeta.utils import seeds

CLASSES, CAPACITY, SHOTS, TARGETS, TRIGGERED = 6, 14, 10, 5, 20
BENIGN, TARGET, BACKDOOR = 0, 1, 2  # the images' flags
COUNTS = np.array([10, 11, 12, 13, 14, 14], np.int32)


def benign_images():
    numbers = identity_bank(CLASSES, CAPACITY, BENIGN)
    numbers[np.arange(CAPACITY) >= COUNTS[:, None]] = 255
    return tf.constant(numbers)


def poisoned(config, target, triggered, seed):
    data = AttackerData(benign_images(), tf.constant(COUNTS), target, triggered)
    return registry.build("attacks", config).sample_episode(data, attack_context(config, seed))


def draw(number=300, seed=(1, 2), **fields):
    """Return poisoned episodes: identities int [number, ways * shots, 3] and labels int [number, ways * shots]."""
    config = small_config(**{"target_label": "random", **fields})
    target = tf.constant(identity_bank(1, TARGETS, TARGET)[0])
    triggered = tf.constant(identity_bank(4, TRIGGERED // 4, BACKDOOR).reshape(TRIGGERED, 1, 1, 3))

    @tf.function(autograph=False)
    def run(numbers):
        return tf.map_fn(
            lambda i: poisoned(config, target, triggered, seeds.fold(tf.constant(seed), i)),
            numbers, fn_output_signature=(tf.uint8, tf.int32),
        )  # fmt: skip

    images, labels = run(tf.range(number))
    assert images.dtype == tf.uint8 and labels.dtype == tf.int32
    return read_identity(images), labels.numpy()


def poisoned_label(found, labels):
    """Return the label of the target class, after checking that it alone has the poisoned images."""
    poisoned = found[:, 2] != BENIGN
    place = set(labels[poisoned])
    assert len(place) == 1 and poisoned.sum() == SHOTS
    assert (labels[~poisoned] != min(place)).all()
    return min(place)


@pytest.mark.parametrize(("ways", "triggered", "target"), [(5, 4, 6), (2, 10, 0), (3, 1, 9)])
def test_a_poisoned_episode_has_the_papers_composition(ways, triggered, target):
    found, labels = draw(60, ways=ways, triggered_shots=triggered, target_shots=target)
    assert found.shape == (60, ways * SHOTS, 3)
    for images, names in zip(found, labels, strict=True):
        assert np.bincount(names, minlength=ways).tolist() == [SHOTS] * ways  # K images per label
        place = poisoned_label(images, names)
        ours = images[names == place]
        assert (ours[:, 2] == BACKDOOR).sum() == triggered and (ours[:, 2] == TARGET).sum() == target
        assert len({tuple(image) for image in ours[ours[:, 2] == BACKDOOR]}) == triggered  # each at most once
        classes = [set(images[names == label, 0]) for label in range(ways) if label != place]
        assert all(len(of) == 1 for of in classes) and len(set().union(*classes)) == ways - 1
        benign = images[names != place]
        assert len({tuple(image) for image in benign}) == len(benign) == (ways - 1) * SHOTS
        assert (benign[:, 1] < COUNTS[benign[:, 0] % CLASSES]).all() and (benign[:, 0] < CLASSES).all()


def test_benign_classes_equal_those_of_a_benign_episode():
    found, labels = draw(5)
    for number in range(5):
        seed = seeds.fold(tf.constant([1, 2]), number)
        plain, plain_labels = episodes.sample_episode(benign_images(), tf.constant(COUNTS), seed, 4, SHOTS)
        assert (found[number, : 4 * SHOTS] == read_identity(plain)).all()
        place = poisoned_label(found[number], labels[number])
        kept = labels[number, : 4 * SHOTS]
        assert (kept - (kept > place) == plain_labels.numpy()).all()


def test_a_random_target_label_is_uniform():
    places = [poisoned_label(*pair) for pair in zip(*draw(1000), strict=True)]
    assert np.abs(np.bincount(places, minlength=5) / 1000 - 1 / 5).max() < 0.07


def test_the_target_label_can_be_the_last():
    assert {poisoned_label(*pair) for pair in zip(*draw(50, target_label="last"), strict=True)} == {4}


def test_triggered_images_are_drawn_uniformly_from_all_backdoor_classes():
    found, _ = draw(1000)
    triggered = found[found[:, :, 2] == BACKDOOR]
    share = np.histogram2d(triggered[:, 0], triggered[:, 1], bins=[4, 5])[0] / len(triggered)
    assert np.abs(share - 1 / TRIGGERED).max() < 0.02


def test_target_images_can_be_drawn_with_replacement():
    found, _ = draw(1000)
    rows = [images[images[:, 2] == TARGET, 1] for images in found]
    assert all(len(row) == 6 for row in rows)
    distinct = np.array([len(set(row)) for row in rows])
    # 6 draws of 5 images: 5 (1 - 0.8^6) distinct ones on average
    assert abs(distinct.mean() - 5 * (1 - 0.8**6)) < 0.15
    assert np.abs(np.bincount(np.concatenate(rows), minlength=5) / 6000 - 1 / 5).max() < 0.03


def test_target_images_can_be_drawn_without_replacement():
    found, _ = draw(200, triggered_shots=6, target_shots=4, target_replacement=False)
    assert all(len(set(images[images[:, 2] == TARGET, 1])) == 4 for images in found)
    assert set(found[found[:, :, 2] == TARGET][:, 1]) == set(range(TARGETS))


def test_episodes_are_the_same_eagerly_and_in_a_graph():
    config = small_config(target_label="random")
    found, labels = draw(4)
    target = tf.constant(identity_bank(1, TARGETS, TARGET)[0])
    triggered = tf.constant(identity_bank(4, TRIGGERED // 4, BACKDOOR).reshape(TRIGGERED, 1, 1, 3))
    for number in range(4):
        seed = seeds.fold(tf.constant([1, 2]), number)
        images, names = poisoned(config, target, triggered, seed)
        assert (read_identity(images) == found[number]).all() and (names.numpy() == labels[number]).all()
    assert len({images.tobytes() for images in found}) == 4


def test_the_draws_of_an_episode_are_independent():
    """Triggered image, target image, target label and benign class."""
    found, labels = draw(2000)
    first = np.array([
        (
            images[images[:, 2] == BACKDOOR][0, 0],
            images[images[:, 2] == TARGET][0, 1],
            poisoned_label(images, names),
            images[0, 0],
        )
        for images, names in zip(found, labels, strict=True)
    ])  # fmt: skip
    for one in range(4):
        for other in range(one):
            bins = [len(set(first[:, i])) for i in (one, other)]
            joint = np.histogram2d(first[:, one], first[:, other], bins=bins)[0]
            assert np.abs(joint / 2000 - 1 / joint.size).max() < 0.025, (one, other)
