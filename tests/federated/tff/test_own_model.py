"""A Keras model of one's own trains in TFF and in this process alike."""

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.federated import jobs
from tfmeta.federated.in_process import InProcessFederation
from tfmeta.federated.tff.federation import TffFederation
from tfmeta.models.architecture import plugin_of_keras
from tfmeta.models.flat import layout_of

pytestmark = pytest.mark.slow  # importing TFF alone takes 6 s


def residual():
    """Return a model with a sum, a depthwise convolution, batch normalisation and a plain TensorFlow operation."""
    layers, inputs = tf.keras.layers, tf.keras.Input((28, 28, 1))
    values = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, 4, use_bias=False)(inputs)))
    inner = layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(values))
    features = layers.Flatten()(layers.AveragePooling2D()(layers.Add()([values, tf.nn.tanh(inner)])))
    return tf.keras.Model(inputs, layers.Dense(5, name="logits")(features), name="residual")


@pytest.fixture(scope="module")
def setting(scene):
    return scene.setting._replace(model=plugin_of_keras(residual())().pure((28, 28, 1), 5))


@pytest.fixture(scope="module")
def federations(setting, tmp_path_factory):
    worker = tmp_path_factory.mktemp("worker") / "worker.log"
    with TffFederation(setting, worker) as through_tff, InProcessFederation(setting) as in_process:
        yield through_tff, in_process


def test_a_round_through_tff_equals_the_one_in_this_process(scene, setting, federations):
    weights = setting.model.initial_weights(3)
    given = [jobs.benign_job(scene.data, scene.config, user, True, "pretraining", 0, 4) for user in (2, 3, 4)]
    results = []
    for federation in federations:
        state, loss = federation.next(federation.start(weights), given)
        results.append((federation.weights(state), loss))
    (one, loss), (other, same) = results
    np.testing.assert_allclose(loss, same, rtol=1e-4)
    for name, before, part, again in zip(setting.model.weight_names, weights, one, other, strict=True):
        np.testing.assert_allclose(part, again, atol=1e-5, rtol=0, err_msg=name)
        assert np.abs(part - before).max() > 1e-4, name  # every weight was trained


def test_the_attackers_chunk_through_tff_equals_the_one_in_this_process(scene, setting, federations):
    weights, moments = setting.model.initial_weights(3), np.zeros(layout_of(setting.model).size, np.float32)
    job = jobs.attacker_chunk_job(scene.data, scene.config, 1, 2, 0)
    one, other = (federation.train_chunk(weights, moments, 0.0, job) for federation in federations)
    for part, again in zip([*one[0], one[1]], [*other[0], other[1]], strict=True):
        np.testing.assert_allclose(part, again, atol=1e-5, rtol=0)
