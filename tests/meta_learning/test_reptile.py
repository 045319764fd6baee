"""Reptile on one user's images, compared with an independent form: Keras, one episode after another."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import AdamState, adam_step, fresh_adam
from tfmeta.meta_learning.reptile import Reptile, inner_loop, local_training
from tfmeta.models.conv4 import Conv4
from tfmeta.models.flat import layout_of
from tfmeta.utils import seeds

MODEL = Conv4((16, 16, 1), 3, 4)
LAYOUT = layout_of(MODEL)
SEED = tf.constant([21, -4])
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 6, 16, 16, 1), np.uint8)
COUNTS = tf.constant([6, 5, 4, 6, 6, 4, 5])


def sampler(seed):
    return episodes.sample_episode(tf.constant(IMAGES), COUNTS, seed, ways=3, shots=4)


@functools.cache
def start():
    return MODEL.initial_weights(1)


def flat(weights):
    return np.concatenate([np.ravel(part) for part in weights])


class KerasNetwork:
    """A Keras model and Keras' own Adam, which can be set to any point of a training."""

    def __init__(self, eta):
        self.model = MODEL.keras_model()
        self.optimizer = tf.keras.optimizers.Adam(eta, beta_1=0.0)
        self.optimizer.build(self.model.trainable_weights)

    def episode(self, weights, velocities, steps, images, labels, batches):
        """Train on one episode; returns weights, velocities and the last step's loss."""
        variables, slots = self.model.trainable_weights, self.optimizer._velocities
        for variable, value in zip([*variables, *slots], [*weights, *velocities], strict=True):
            variable.assign(value)
        self.optimizer.iterations.assign(steps)
        for batch in batches:
            loss = self._step(tf.constant(images[batch].astype(np.float32) / 255), tf.constant(labels[batch]))
        return [v.numpy() for v in variables], [v.numpy() for v in slots], float(loss)

    @tf.function(autograph=False)
    def _step(self, images, labels):
        variables = self.model.trainable_weights
        with tf.GradientTape() as tape:
            logits = self.model(images, training=True)
            loss = tf.keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
            loss = tf.reduce_mean(loss)
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss


@functools.cache
def keras_network(eta):
    return KerasNetwork(eta)


def naive_training(reptile, weights, velocities, steps, epsilon, first, count):
    """Follow section 2 line by line: theta += epsilon * mean over the B episodes of (theta_e - theta)."""
    theta, network = [np.array(part) for part in weights], keras_network(reptile.inner_learning_rate)
    for outer in range(count):
        moved, seconds, losses = [], [], []
        for number in range(first + outer * reptile.meta_batch_size, first + (outer + 1) * reptile.meta_batch_size):
            drawn = seeds.fold(SEED, number)
            images, labels = (part.numpy() for part in sampler(drawn))
            batches = episodes.batch_stream(drawn, 12, reptile.inner_steps, reptile.inner_batch_size).numpy()
            begin = (velocities, steps) if reptile.carry_adam else ([np.zeros_like(part) for part in theta], 0)
            trained, second, loss = network.episode(theta, *begin, images, labels, batches)
            moved.append([new - old for new, old in zip(trained, theta, strict=True)])
            seconds.append(second)
            losses.append(loss)
        theta = [old + epsilon * sum(parts) / len(moved) for old, *parts in zip(theta, *moved, strict=True)]
        velocities = [sum(parts) / len(seconds) for parts in zip(*seconds, strict=True)]
        steps += reptile.inner_steps
    return theta, velocities, steps, np.mean(losses)


@pytest.fixture(scope="module")
def train():
    """Return `local_training` as rounds call it: one graph for all episodes."""
    graphs = {}

    def run(reptile, weights, adam, epsilon, first, count):
        if reptile not in graphs:
            graphs[reptile] = tf.function(
                lambda weights, adam, epsilon, first, count: local_training(
                    MODEL, reptile, sampler, weights, AdamState(*adam), epsilon, SEED, first, count
                ),
                [
                    [tf.TensorSpec(shape) for shape in MODEL.shapes],
                    (tf.TensorSpec([LAYOUT.size]), tf.TensorSpec([])),
                    tf.TensorSpec([]), tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int32),
                ],
                autograph=False,
            )  # fmt: skip
        return graphs[reptile]([tf.constant(part) for part in weights], tuple(adam), epsilon, first, count)

    return run


SMALL = Reptile(meta_batch_size=2, inner_steps=3, inner_batch_size=5, inner_learning_rate=0.002)


def test_adam_agrees_with_keras():
    """Also after some steps, and for weights without a gradient."""
    random, eta = np.random.default_rng(0), 0.01
    variable = tf.Variable(random.normal(size=50).astype(np.float32))
    vector, state = tf.constant(variable.numpy()), fresh_adam(50)
    optimizer = tf.keras.optimizers.Adam(eta, beta_1=0.0, beta_2=0.999)
    for step in range(12):
        gradient = random.normal(0, 10.0 ** random.integers(-9, 2, 50)).astype(np.float32)
        gradient[:5] = 0
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
        vector, state = adam_step(vector, tf.constant(gradient), state, eta)
        np.testing.assert_allclose(vector, variable, rtol=1e-6, atol=1e-7)
        assert float(state.steps) == step + 1
    np.testing.assert_allclose(state.moments, optimizer._velocities[0], rtol=1e-5)
    assert np.abs(vector.numpy()[5:]).min() > 0 and (vector.numpy()[:5] == variable.numpy()[:5]).all()


def test_fresh_adam_has_taken_no_step():
    state = fresh_adam(7)
    assert state.moments.shape == (7,) and not state.moments.numpy().any() and float(state.steps) == 0


def test_the_inner_loop_agrees_with_keras():
    images, labels = sampler(SEED)
    batches = episodes.batch_stream(SEED, 12, 4, 5)
    velocities = [np.random.default_rng(2).uniform(0, 1e-4, part.shape).astype(np.float32) for part in start()]
    vector, adam, loss = inner_loop(
        MODEL,
        LAYOUT.pack(start()),
        AdamState(LAYOUT.pack(velocities), tf.constant(7.0)),
        images,
        labels,
        batches,
        0.002,
    )
    weights, seconds, expected = keras_network(0.002).episode(
        start(), velocities, 7, images.numpy(), labels.numpy(), batches.numpy()
    )
    np.testing.assert_allclose(vector, flat(weights), atol=2e-6)
    np.testing.assert_allclose(adam.moments, flat(seconds), rtol=1e-3, atol=1e-9)
    assert float(adam.steps) == 11
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert np.abs(flat(weights) - flat(start())).max() > 1e-3


@pytest.mark.parametrize("carry", [True, False])
def test_local_training_follows_the_papers_formula(train, carry):
    reptile = Reptile(2, 3, 5, 0.002, carry)
    velocities = [np.random.default_rng(3).uniform(0, 1e-4, part.shape).astype(np.float32) for part in start()]
    trained = train(reptile, start(), (LAYOUT.pack(velocities), 6.0), 0.5, 4, 3)
    theta, seconds, steps, loss = naive_training(reptile, start(), velocities, 6, 0.5, 4, 3)
    assert np.abs(flat(theta) - flat(start())).max() > 2e-3
    np.testing.assert_allclose(flat(trained.weights), flat(theta), atol=5e-6)
    assert [part.shape for part in trained.weights] == MODEL.shapes
    assert float(trained.loss) == pytest.approx(loss, rel=1e-3)
    if carry:
        np.testing.assert_allclose(trained.adam.moments, flat(seconds), rtol=2e-3, atol=1e-9)
        assert float(trained.adam.steps) == steps == 15


def test_carried_and_reset_adam_differ(train):
    results = [
        flat(train(Reptile(2, 3, 5, 0.002, carry), start(), fresh_adam(LAYOUT.size), 0.5, 0, 2).weights)
        for carry in (True, False)
    ]
    assert np.abs(results[0] - results[1]).max() > 1e-4
    once = [
        flat(train(Reptile(2, 3, 5, 0.002, carry), start(), fresh_adam(LAYOUT.size), 0.5, 0, 1).weights)
        for carry in (True, False)
    ]
    assert (once[0] == once[1]).all()  # the first meta-batch has no earlier state


def test_chunks_are_bit_identical_to_one_long_training(train):
    whole = train(SMALL, start(), fresh_adam(LAYOUT.size), 0.3, 2, 5)
    weights, adam, first = start(), fresh_adam(LAYOUT.size), 2
    for count in (1, 3, 1):
        part = train(SMALL, weights, adam, 0.3, first, count)
        # through numpy, as in a checkpoint
        weights = [weight.numpy() for weight in part.weights]
        adam = AdamState(tf.constant(part.adam.moments.numpy()), tf.constant(np.float32(part.adam.steps)))
        first += count * SMALL.meta_batch_size
    assert flat(weights).tobytes() == flat(whole.weights).tobytes()
    assert adam.moments.numpy().tobytes() == whole.adam.moments.numpy().tobytes()
    assert float(adam.steps) == float(whole.adam.steps) == 15


def test_the_same_call_is_bit_identical(train):
    runs = [flat(train(SMALL, start(), fresh_adam(LAYOUT.size), 0.3, 2, 3).weights).tobytes() for _ in range(3)]
    assert len(set(runs)) == 1


def test_other_episodes_give_other_weights(train):
    here, there = (flat(train(SMALL, start(), fresh_adam(LAYOUT.size), 0.3, first, 1).weights) for first in (0, 2))
    assert np.abs(here - there).max() > 1e-4


def test_meta_step_size_and_number_of_meta_batches(train):
    fresh = fresh_adam(LAYOUT.size)
    none = train(SMALL, start(), fresh, 0.0, 0, 2)
    np.testing.assert_allclose(flat(none.weights), flat(start()), atol=1e-7)
    nothing = train(SMALL, start(), fresh, 0.5, 0, 0)
    assert (flat(nothing.weights) == flat(start())).all() and float(nothing.adam.steps) == 0
    half, whole = (flat(train(SMALL, start(), fresh, epsilon, 0, 1).weights) - flat(start()) for epsilon in (0.5, 1.0))
    np.testing.assert_allclose(2 * half, whole, atol=1e-6)
    assert np.abs(whole).max() > 1e-3


def test_training_is_the_same_eagerly(train):
    in_graph = train(SMALL, start(), fresh_adam(LAYOUT.size), 0.5, 4, 2)
    eager = local_training(
        MODEL, SMALL, sampler, [tf.constant(part) for part in start()], fresh_adam(LAYOUT.size),
        tf.constant(0.5), SEED, tf.constant(4), tf.constant(2),
    )  # fmt: skip
    np.testing.assert_allclose(flat(eager.weights), flat(in_graph.weights), atol=5e-6)
    assert float(eager.loss) == pytest.approx(float(in_graph.loss), rel=1e-3)
