"""A Keras model of one's own and its function of explicit weights are the same network."""

import numpy as np
import pytest
import tensorflow as tf
from architectures import EVERY, SHAPE, WAYS, DenseOnly, Residual, keras_with, make_images, random_weights

from tfmeta.meta_learning.adaptation import AdaptationSettings, predict
from tfmeta.models import from_keras
from tfmeta.models.base import check_weights
from tfmeta.models.conv4 import Conv4Model
from tfmeta.models.flat import layout_of
from tfmeta.models.from_keras import FromKeras
from tfmeta.models.keras_layers import matching_model, weights_of

every_model = pytest.mark.parametrize("plugin", EVERY.values(), ids=EVERY)
DOWNSAMPLE = ("pool-valid", "pool-same", "stride")


def of(plugin):
    return plugin.pure(SHAPE, WAYS)


def normalisations(built):
    return [layer for layer in built.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]


def gradients(logits_of, weights, labels):
    """Return logits, and the loss's gradients by weights."""
    with tf.GradientTape() as tape:
        tape.watch(weights)
        logits = logits_of()
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
    return logits, tape.gradient(loss, weights)


@every_model
def test_names_and_shapes_are_those_of_the_keras_model(plugin):
    model = of(plugin)
    trainable = model.keras_model().trainable_weights
    assert model.weight_names == tuple(weight.name.removesuffix(":0") for weight in trainable)
    assert model.shapes == [tuple(weight.shape) for weight in trainable]
    assert layout_of(model).size == sum(int(np.prod(weight.shape)) for weight in trainable)
    assert model.feature_size == model.keras_model().get_layer("logits").input_shape[-1]
    check_weights(model, model.initial_weights(1), "the model")


@every_model
def test_training_agrees_with_keras_in_logits_and_gradients(plugin):
    model, labels = of(plugin), np.arange(8) % WAYS
    weights, images = random_weights(model), make_images(model, 8)
    built = keras_with(model, weights)
    expected, wanted = gradients(lambda: built(images, training=True), built.trainable_weights, labels)
    tensors = [tf.constant(weight) for weight in weights]
    logits, found = gradients(lambda: model.logits(tensors, images)[0], tensors, labels)
    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=1e-4)
    assert np.abs(expected).max() > 0.1
    for one, other, name in zip(found, wanted, model.weight_names, strict=True):
        assert np.abs(other).max() > 1e-5, name
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max() + 1e-7, err_msg=name)


@every_model
def test_predictions_with_support_statistics_agree_with_keras(plugin):
    model = of(plugin)
    weights, support, queries = random_weights(model), make_images(model, 6), make_images(model, 7, seed=2)
    built = keras_with(model, weights)
    _, statistics = model.features(weights, support)
    layers = normalisations(built)
    assert len(layers) == len(statistics)
    if layers:
        inputs = tf.keras.Model(built.inputs, [layer.input for layer in layers])(support, training=True)
        for layer, values, (mean, variance) in zip(layers, tf.nest.flatten(inputs), statistics, strict=True):
            axes = tuple(range(len(values.shape) - 1))
            np.testing.assert_allclose(mean, np.mean(values, axes), atol=1e-5)
            np.testing.assert_allclose(variance, np.var(values, axes), rtol=1e-4)  # the biased one
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
    logits, used = model.logits(weights, queries, statistics)
    np.testing.assert_allclose(logits, built(queries, training=False), atol=1e-4, rtol=1e-4)
    assert all(one is other for pair in zip(used, statistics, strict=True) for one, other in zip(*pair, strict=True))
    if layers:
        assert np.abs(logits - model.logits(weights, queries)[0]).max() > 1e-3  # the statistics make a difference


@every_model
def test_features_are_what_the_last_layer_takes_and_do_not_need_its_weights(plugin):
    model = of(plugin)
    weights, images = random_weights(model), make_images(model, 5)
    built = keras_with(model, weights)
    expected = tf.keras.Model(built.inputs, built.get_layer("logits").input)(images, training=True)
    embedding = model.embedding_of(weights)
    head = {name for name in model.weight_names if name.startswith("logits/")}
    assert len(weights) - len(embedding) == len(head) > 0
    assert not head & set(model.embedding_of(model.weight_names))
    for given in (weights, embedding):
        np.testing.assert_allclose(model.features(given, images)[0], expected, atol=1e-5, rtol=1e-4)
    assert expected.shape == (5, model.feature_size)


@pytest.mark.parametrize("downsample", DOWNSAMPLE)
def test_conv4_turned_from_keras_equals_the_one_written_by_hand(downsample):
    plugin = Conv4Model(filters=5, downsample=downsample)
    by_hand, turned = plugin.pure((20, 36, 3), WAYS), FromKeras(plugin, (20, 36, 3), WAYS)
    assert (turned.weight_names, turned.shapes) == (by_hand.weight_names, by_hand.shapes)
    assert turned.feature_size == by_hand.feature_size
    for name in ("initial_weights", "fresh_weights"):
        seed = 3 if name == "initial_weights" else tf.constant([3, -4])
        for one, other in zip(getattr(turned, name)(seed), getattr(by_hand, name)(seed), strict=True):
            np.testing.assert_array_equal(one, other)
    weights, support, queries = random_weights(by_hand), make_images(by_hand, 6), make_images(by_hand, 7, seed=2)
    moving = by_hand.features(weights, make_images(by_hand, 9, seed=3))[1]
    answers = []
    for mode in ("support", "queries", "moving"):
        settings = AdaptationSettings(0.001, 5, mode)
        one, other = (predict(model, settings, weights, support, [queries], moving) for model in (by_hand, turned))
        np.testing.assert_allclose(one, other, atol=1e-5)
        answers.append(one.numpy())
    assert all(np.abs(answers[i] - answers[i - 1]).max() > 1e-3 for i in range(3))  # three modes, three answers


def test_memory_is_estimated_as_for_conv4():
    plugin = Conv4Model(filters=32, downsample="pool-valid")
    assert FromKeras(plugin, (84, 84, 3), 5).filters == pytest.approx(32, abs=1)


def test_equal_plugins_make_equal_models_with_one_hash():
    one, again, other = Residual().pure(SHAPE, WAYS), Residual().pure(list(SHAPE), WAYS), Residual().pure(SHAPE, 3)
    assert one == again and hash(one) == hash(again) and one != other and one != DenseOnly().pure(SHAPE, WAYS)


@every_model
def test_initial_weights_depend_on_the_seed_alone(plugin):
    model = of(plugin)
    first, other = model.initial_weights(3), model.initial_weights(4)
    tf.keras.utils.set_random_seed(5)
    before = np.random.get_state()[1].tolist()
    again = model.initial_weights(3)
    assert before == np.random.get_state()[1].tolist()
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert one.ndim == 1 or (one != different).mean() > 0.9


def test_a_network_may_be_built_while_a_graph_is_traced():
    plugin = EVERY["Residual"]
    images, weights = tf.constant(make_images(of(plugin), 4)), random_weights(of(plugin))
    from_keras._network.cache_clear()
    traced = tf.function(lambda: of(plugin).logits(weights, images)[0])()
    np.testing.assert_allclose(traced, of(plugin).logits(weights, images)[0], atol=1e-5)


def test_names_do_not_depend_on_models_built_before():
    names = EVERY["NoNormalisation"].pure(SHAPE, 3).weight_names
    assert names == ("conv2d/kernel", "conv2d/bias", "logits/kernel", "logits/bias")


@every_model
def test_fresh_weights_differ_by_seed_and_keep_the_scale_of_initial_ones(plugin):
    model = of(plugin)
    fresh, other = (model.fresh_weights(tf.constant(seed)) for seed in ((5, -3), (5, -2)))
    in_graph = tf.function(model.fresh_weights, autograph=False)(tf.constant((5, -3)))
    for part, again, different, initial in zip(fresh, in_graph, other, model.initial_weights(1), strict=True):
        np.testing.assert_array_equal(part, again)
        if initial.ndim == 1:
            np.testing.assert_array_equal(part, initial)
        else:
            assert (part != different).numpy().mean() > 0.9
            np.testing.assert_allclose(np.std(part), np.std(initial), rtol=0.5)


@every_model
def test_one_graph_takes_several_sets_of_weights(plugin):
    model = of(plugin)
    sets, images = [random_weights(model, seed) for seed in range(3)], tf.constant(make_images(model, 4))
    stacked = [tf.stack(parts) for parts in zip(*sets, strict=True)]
    together = tf.function(lambda parts: tf.map_fn(lambda weights: model.logits(weights, images)[0], parts,
                                                   fn_output_signature=tf.float32))(stacked)  # fmt: skip
    for weights, logits in zip(sets, together, strict=True):
        np.testing.assert_allclose(logits, model.logits(weights, images)[0], atol=1e-5)


def test_it_can_be_the_embedding_of_a_matching_network():
    model = of(Residual())
    matching, labels = matching_model(model, seed=3), np.arange(8, dtype=np.int32) % WAYS
    embedding, alpha, _ = weights_of(matching, "matching")
    for part, expected in zip(embedding, model.embedding_of(model.initial_weights(3)), strict=True):
        np.testing.assert_array_equal(part, expected)
    assert alpha.shape == (WAYS, model.feature_size)
    answers = matching([make_images(model, 5), make_images(model, 8, seed=2), labels])
    np.testing.assert_allclose(tf.reduce_sum(tf.exp(answers), 1), 1, rtol=1e-4)
    for part, expected in zip(weights_of(model.keras_model(3)), model.initial_weights(3), strict=True):
        np.testing.assert_array_equal(part, expected)
