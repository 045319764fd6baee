"""The network that the matching defence ends with (section 4)."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import adapt, mixed, small_config
from matching_task import make_images

from tfmeta import registry
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adaptation import AdaptationSettings
from tfmeta.models.conv4 import Conv4
from tfmeta.models.keras_layers import matching_model
from tfmeta.models.matching_head import MatchingHead

MODEL = Conv4((16, 16, 1), 3, 8)
SEED = np.array([4, -9], np.int32)
LABELS = np.repeat(np.arange(3, dtype=np.int32), 4)


def config(**overrides):
    return small_config(
        ways=3, shots=4, triggered_shots=2, target_shots=2, inner_learning_rate=0.01, alpha_learning_rate=0.05,
        beta_learning_rate=0.5, attention_steps=4, **overrides,
    )  # fmt: skip


SUPPORT, QUERIES = make_images(12, 1), make_images(30, 2)


@functools.cache
def network(steps, gates="projected"):
    weights = MODEL.initial_weights(2)
    defence = registry.build("defences", config(gates=gates), "matching")
    settings = AdaptationSettings.of(config(gates=gates))
    return defence.network(MODEL, settings, weights, SUPPORT, LABELS, SEED, steps)


@pytest.mark.slow
@pytest.mark.parametrize(("gates", "points"), [("projected", (0, 4, 9)), ("sigmoid", (9,))])
def test_the_network_gives_the_defences_answers(gates, points):
    """At its start, at the end of phase 1, and in phase 2."""
    chosen = config(gates=gates)
    run = tf.function(functools.partial(adapt, "matching", chosen, MODEL), autograph=False)
    weights = [tf.constant(part) for part in MODEL.initial_weights(2)]
    answers = run(weights, tf.constant(SUPPORT), tf.constant(LABELS), [QUERIES], SEED, points).numpy().argmax(2)
    head = MatchingHead(MODEL.ways, MODEL.feature_size, gates)
    for point, wanted in zip(points, answers, strict=True):
        theta, alpha, beta = network(point, gates)
        support, seen = MODEL.features(theta, episodes.to_float(tf.constant(SUPPORT)))
        queries, _ = MODEL.features(theta, episodes.to_float(tf.constant(QUERIES)), seen)
        logs = head.log_probabilities(alpha, beta, queries, support, LABELS).numpy()
        best = np.sort(logs, 1)
        sure = best[:, -1] - best[:, -2] > 0.03  # rounding differs by machine and grows to 0.01 by step 9
        assert sure.mean() > 0.9 and (logs.argmax(1) == wanted)[sure].all()
    assert gates != "projected" or (answers[0] != answers[-1]).any()  # otherwise any network would pass


@pytest.mark.slow
def test_phase_1_does_not_change_the_embedding():
    start = mixed(MODEL, config(), MODEL.initial_weights(2), SEED)[:-2]
    theta, alpha, beta = network(4)
    assert all(np.array_equal(a, b) for a, b in zip(theta, start, strict=True))
    assert 0 <= alpha.numpy().min() < 1 and alpha.numpy().max() <= 1 and len(set(beta.numpy())) == 3
    later = network(9)[0]
    assert not any(np.array_equal(a, b) for a, b in zip(theta, later, strict=True))


def test_the_network_fits_a_keras_matching_model():
    """Its parts have the shapes of a Keras matching model's weights."""
    theta, alpha, beta = network(9)
    keras = matching_model(MODEL)
    embedding, attention = keras.get_layer("embedding"), keras.get_layer("attention")
    assert [tuple(weight.shape) for weight in embedding.trainable_weights] == [tuple(part.shape) for part in theta]
    assert attention.alpha.shape == alpha.shape and attention.beta.shape == beta.shape
