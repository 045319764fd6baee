"""Episodes and the stream of mini-batches: distinct, uniform, and the same eagerly and in a graph."""

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import identity_bank, read_identity
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmeta.meta_learning import episodes
from tfmeta.utils import seeds

PADDED = 255  # in places where a class has no image

some_seeds = st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 2)
few = settings(max_examples=30, deadline=None)


def padded_bank(counts, capacity):
    images = identity_bank(len(counts), capacity)
    images[np.arange(capacity) >= np.asarray(counts)[:, None]] = PADDED
    return images


@st.composite
def banks(draw):
    """A bank with a few classes of unequal size, and ways and shots that it is large enough for."""
    shots = draw(st.integers(1, 5))
    counts = draw(st.lists(st.integers(shots, 9), min_size=2, max_size=8))
    capacity = max(counts) + draw(st.integers(0, 2))
    return counts, capacity, draw(st.integers(1, len(counts))), shots


def many(function, number, seed=(3, 4)):
    """Run `function` with `number` seeds in one graph, as local training does."""
    signature = tf.nest.map_structure(lambda value: value.dtype, function(tf.constant(seed)))

    @tf.function(autograph=False)
    def run():
        return tf.map_fn(
            lambda i: function(seeds.fold(tf.constant(seed), i)), tf.range(number), fn_output_signature=signature
        )

    return tf.nest.map_structure(lambda value: value.numpy(), run())


@few
@given(banks(), some_seeds)
def test_an_episode_has_distinct_classes_and_images_and_no_padding(bank, seed):
    counts, capacity, ways, shots = bank
    images = padded_bank(counts, capacity)
    drawn, labels = episodes.sample_episode(tf.constant(images), tf.constant(counts), tf.constant(seed), ways, shots)
    assert drawn.dtype == tf.uint8 and drawn.shape == (ways * shots, 1, 1, 3)
    assert labels.dtype == tf.int32 and labels.numpy().tolist() == np.repeat(np.arange(ways), shots).tolist()
    found = read_identity(drawn)
    assert (found != PADDED).all()
    classes = found[:, 0].reshape(ways, shots)
    assert (classes == classes[:, :1]).all()  # one class per label
    assert len(set(classes[:, 0])) == ways
    assert len({tuple(image) for image in found}) == ways * shots
    assert (found[:, 1] < np.asarray(counts)[found[:, 0]]).all()


@few
@given(some_seeds, st.integers(1, 30), st.data())
def test_a_subset_is_distinct_numbers(seed, count, data):
    size = data.draw(st.integers(0, count))
    drawn = episodes.draw_subset(tf.constant(seed), count, size)
    assert drawn.dtype == tf.int32
    drawn = drawn.numpy().tolist()
    assert len(drawn) == len(set(drawn)) == size and set(drawn) <= set(range(count))


def test_a_subset_larger_than_its_set_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError):
        episodes.draw_subset(tf.constant([1, 2]), 3, 4)


def test_classes_and_images_are_drawn_uniformly():
    """Every class, every image and every place in the order is equally likely."""
    counts, number = [2, 5, 3, 4], 3000
    images = padded_bank(counts, 6)
    drawn, _ = many(lambda seed: episodes.sample_episode(tf.constant(images), tf.constant(counts), seed, 3, 2), number)
    found = read_identity(drawn).reshape(number, 3, 2, 3)
    for place in range(3):
        share = np.bincount(found[:, place, 0, 0], minlength=4) / number
        assert np.abs(share - 1 / 4).max() < 0.04  # five standard deviations
    for row, count in enumerate(counts):
        images = found[found[..., 0] == row][:, 1]
        share = np.bincount(images, minlength=count) / len(images)
        assert len(share) == count and np.abs(share - 1 / count).max() < 0.04
        first = found[:, :, 0][found[:, :, 0, 0] == row][:, 1]  # the order within a class is random too
        assert np.abs(np.bincount(first, minlength=count) / len(first) - 1 / count).max() < 0.06


def test_classes_and_images_are_drawn_independently():
    """They would not be if both draws of an episode used the same random numbers."""
    counts, number = [4] * 4, 2000
    images = tf.constant(identity_bank(4, 4))
    drawn, _ = many(lambda seed: episodes.sample_episode(images, tf.constant(counts), seed, 1, 1), number)
    found = read_identity(drawn)[:, 0]
    joint = np.histogram2d(found[:, 0], found[:, 1], bins=4)[0] / number
    assert np.abs(joint - 1 / 16).max() < 0.03


def test_draws_are_the_same_eagerly_in_a_graph_and_side_by_side():
    counts, images = [5, 3, 4, 5], tf.constant(padded_bank([5, 3, 4, 5], 5))
    seed = tf.constant([11, -12])

    def draw(number):
        drawn = seeds.fold(seed, number)
        drawn_images, _ = episodes.sample_episode(images, tf.constant(counts), drawn, 3, 2)
        return drawn_images, episodes.batch_stream(drawn, 6, 4, 5)

    eager = [draw(tf.constant(number)) for number in range(6)]
    in_graph = tf.function(draw)
    side_by_side = tf.function(
        lambda numbers: tf.map_fn(draw, numbers, fn_output_signature=(tf.uint8, tf.int32), parallel_iterations=4)
    )
    chunks = [side_by_side(tf.range(0, 2)), side_by_side(tf.range(2, 6))]
    for part in range(2):
        expected = np.stack([result[part] for result in eager])
        assert (np.stack([in_graph(tf.constant(number))[part] for number in range(6)]) == expected).all()
        assert (side_by_side(tf.range(6))[part].numpy() == expected).all()
        assert (np.concatenate([chunk[part] for chunk in chunks]) == expected).all()
        assert len({result.tobytes() for result in expected}) == 6  # each number draws its own


def test_folded_seeds_are_all_different():
    seed = tf.constant([5, 6])
    folded = [tuple(seeds.fold(seed, number).numpy()) for number in range(50)]
    twice = [tuple(seeds.fold(seeds.fold(seed, number), 0).numpy()) for number in range(50)]
    assert len({*folded, *twice, (5, 6)}) == 101
    assert seeds.fold(seed, 1).dtype == tf.int32 and seeds.fold(seed, 1).shape == (2,)


@few
@given(some_seeds, st.integers(1, 30), st.integers(1, 12), st.integers(0, 12))
def test_the_stream_has_full_batches_and_drops_nothing(seed, examples, batch, steps):
    stream = episodes.batch_stream(tf.constant(seed), examples, steps, batch)
    assert stream.dtype == tf.int32 and stream.shape == (steps, batch)
    flat = stream.numpy().ravel()
    assert ((flat >= 0) & (flat < examples)).all()
    for start in range(0, len(flat), examples):
        one_pass = flat[start : start + examples]
        assert len(set(one_pass)) == len(one_pass)  # all examples once, before any comes again


def test_the_stream_takes_its_length_from_a_tensor():
    seed = tf.constant([1, 2])
    whole = episodes.batch_stream(seed, 7, 9, 4).numpy()
    in_graph = tf.function(lambda steps: episodes.batch_stream(seed, 7, steps, 4), [tf.TensorSpec([], tf.int32)])
    assert (in_graph(9).numpy() == whole).all()


def test_each_pass_and_each_seed_has_its_own_order():
    passes = episodes.batch_stream(tf.constant([1, 2]), 20, 8, 20).numpy()
    other = episodes.batch_stream(tf.constant([1, 3]), 20, 8, 20).numpy()
    assert len({tuple(order) for order in (*passes, *other, np.arange(20))}) == 17
    first = many(lambda seed: episodes.batch_stream(seed, 4, 1, 4)[0], 1500)[:, 0]
    assert np.abs(np.bincount(first, minlength=4) / 1500 - 1 / 4).max() < 0.06


def test_images_become_floats_from_0_to_1():
    converted = episodes.to_float(tf.constant([0, 51, 255], tf.uint8))
    assert converted.dtype == tf.float32
    np.testing.assert_allclose(converted, [0.0, 0.2, 1.0], rtol=1e-6)
