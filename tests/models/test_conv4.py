"""Conv4: the Keras model and the function of explicit weights are the same network (ledger 6 to 9)."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.errors import ClientUpdateError, ModelError
from tfmeta.models import conv4
from tfmeta.models.base import check_weights
from tfmeta.models.conv4 import Conv4

# sides that become odd, so that "valid", "same" and strides differ; colour images; height and width differ
MODELS = {downsample: Conv4((20, 36, 3), 4, 5, downsample) for downsample in ("pool-valid", "pool-same", "stride")}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@functools.cache
def random_weights(model, seed=0):
    """Return weights like trained ones: gammas are not 1 and some negative, betas are not 0."""
    random = np.random.default_rng(seed)
    weights = model.initial_weights(seed)
    return [part + random.normal(0, 0.5, part.shape).astype(np.float32) * (part.ndim == 1) for part in weights]


def make_images(model, number, seed=1):
    """Return noise; a third of each image is empty, so max-pooling meets ties."""
    noise = np.random.default_rng(seed).uniform(size=(number, *model.image_shape)).astype(np.float32)
    noise[:, :, :10] = 0
    return noise


def keras_with(model, weights):
    keras = model.keras_model()
    for variable, weight in zip(keras.trainable_weights, weights, strict=True):
        variable.assign(weight)
    return keras


def loss_of(logits, labels):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def convolutions(keras, images):
    """Return the input of each BatchNormalization of a Keras model in training."""
    inputs = [layer.input for layer in keras.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]
    return [value.numpy() for value in tf.keras.Model(keras.inputs, inputs)(images, training=True)]


@every_model
def test_weights_are_the_keras_models_trainable_weights_in_order(model):
    keras = model.keras_model()
    assert [tuple(weight.shape) for weight in keras.trainable_weights] == model.shapes
    kinds = [weight.name.split("/")[1].split(":")[0] for weight in keras.trainable_weights]
    assert kinds == ["kernel", "gamma", "beta"] * 4 + ["kernel", "bias"]  # no bias before BatchNorm
    assert [weight.name.removesuffix(":0") for weight in keras.trainable_weights] == list(model.weight_names)
    assert keras.get_layer("features").output_shape == (None, model.feature_size)


@pytest.mark.parametrize(
    ("shape", "downsample", "size"),
    [
        ((28, 28, 1), "pool-valid", 64),
        ((84, 84, 3), "pool-valid", 1600),
        ((28, 28, 1), "pool-same", 2 * 2 * 64),
        ((84, 84, 3), "stride", 6 * 6 * 64),
    ],
)
def test_embeddings_have_the_papers_length(shape, downsample, size):
    model = Conv4(shape, 5, downsample=downsample)
    assert model.filters == 64 and model.feature_size == size


@every_model
def test_training_agrees_with_keras_in_loss_and_gradients(model):
    weights, images, labels = random_weights(model), make_images(model, 8), np.arange(8) % 4
    keras = keras_with(model, weights)
    with tf.GradientTape() as tape:
        expected = keras(images, training=True)
        loss = loss_of(expected, labels)
    expected_gradients = tape.gradient(loss, keras.trainable_weights)
    tensors = [tf.constant(weight) for weight in weights]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        logits, _ = model.logits(tensors, tf.constant(images))
        loss = loss_of(logits, labels)
    gradients = tape.gradient(loss, tensors)
    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=1e-4)
    assert np.abs(expected).max() > 0.1
    for gradient, other, shape in zip(gradients, expected_gradients, model.shapes, strict=True):
        assert np.abs(other).max() > 1e-4, shape
        np.testing.assert_allclose(gradient, other, atol=1e-4 * np.abs(other).max() + 1e-7)


@every_model
def test_statistics_are_the_batchs_mean_and_biased_variance(model):
    weights, support = random_weights(model), make_images(model, 8)
    _, statistics = model.logits(weights, support)
    for (mean, variance), values in zip(statistics, convolutions(keras_with(model, weights), support), strict=True):
        np.testing.assert_allclose(mean, values.mean((0, 1, 2)), atol=1e-5)
        # the batch is normalised with the biased variance
        np.testing.assert_allclose(variance, values.var((0, 1, 2)), rtol=2e-5)


@every_model
def test_predictions_with_support_statistics_agree_with_keras(model):
    weights, support, queries = random_weights(model), make_images(model, 6), make_images(model, 7, seed=2)
    keras = keras_with(model, weights)
    norms = [layer for layer in keras.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]
    for layer, values in zip(norms, convolutions(keras, support), strict=True):
        layer.moving_mean.assign(values.mean((0, 1, 2)))
        layer.moving_variance.assign(values.var((0, 1, 2)))
    expected = keras(queries, training=False)
    _, statistics = model.features(weights, support)
    logits, used = model.logits(weights, queries, statistics)
    np.testing.assert_allclose(logits, expected, atol=1e-4, rtol=1e-4)
    assert np.abs(expected - keras(queries, training=True)).max() > 1e-2  # the statistics make a difference
    assert used == statistics


@every_model
def test_the_support_set_has_the_same_features_as_in_training(model):
    weights, support = random_weights(model), make_images(model, 5)
    features, statistics = model.features(weights, support)
    again, _ = model.features(weights, support, statistics)
    assert features.shape == (5, model.feature_size)
    np.testing.assert_allclose(again, features, atol=1e-5)


@every_model
def test_a_querys_answer_does_not_depend_on_the_other_queries(model):
    weights, support, queries = random_weights(model), make_images(model, 6), make_images(model, 9, seed=2)
    _, statistics = model.features(weights, support)
    together, _ = model.logits(weights, queries, statistics)
    alone = np.concatenate([model.logits(weights, queries[i : i + 1], statistics)[0] for i in range(9)])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    many = np.concatenate([queries[:1], np.ones((20, *model.image_shape), np.float32)])
    np.testing.assert_allclose(model.logits(weights, many, statistics)[0][0], together[0], atol=1e-5)
    assert np.abs(model.logits(weights, many)[0][0] - together[0]).max() > 1e-2  # with the batch's own it does


def test_one_graph_takes_several_sets_of_weights():
    model = MODELS["pool-valid"]
    sets = [random_weights(model, seed) for seed in range(3)]
    images = tf.constant(make_images(model, 4))
    stacked = [tf.stack(parts) for parts in zip(*sets, strict=True)]
    together = tf.function(lambda parts: tf.map_fn(lambda weights: model.logits(weights, images)[0], parts,
                                                   fn_output_signature=tf.float32))(stacked)  # fmt: skip
    for weights, logits in zip(sets, together, strict=True):
        np.testing.assert_allclose(logits, model.logits(weights, images)[0], atol=1e-5)


def test_initial_weights_are_keras_defaults_for_the_seed():
    model = Conv4((28, 28, 1), 5, 8)
    weights = model.initial_weights(3)
    assert all(part.dtype == np.float32 for part in weights)
    for part, again, other in zip(weights, model.initial_weights(3), model.initial_weights(4), strict=True):
        assert (part == again).all()
        assert part.ndim == 1 or (part != other).any()
    for module in range(4):
        kernel, gamma, beta = weights[3 * module : 3 * module + 3]
        limit = np.sqrt(6 / (9 * (kernel.shape[2] + kernel.shape[3])))  # Glorot, uniform
        assert 0.9 * limit < np.abs(kernel).max() <= limit and abs(kernel.mean()) < limit / 5
        assert (gamma == 1).all() and (beta == 0).all()
    assert (weights[-1] == 0).all()
    modules = [weights[3], weights[6], weights[9]]  # of equal shape, drawn independently
    assert (modules[0] != modules[1]).any() and (modules[1] != modules[2]).any()


def test_initial_weights_do_not_depend_on_earlier_models():
    model = Conv4((28, 28, 1), 5, 8)
    first = model.initial_weights(3)
    tf.random.set_seed(5)
    model.keras_model(9)
    assert all((one == other).all() for one, other in zip(first, model.initial_weights(3), strict=True))


def test_the_largest_seed_gives_weights():
    assert np.isfinite(Conv4((16, 16, 1), 5, 2).initial_weights(2**31 - 1)[0]).all()


def fresh(model, seed):
    return [part.numpy() for part in model.fresh_weights(tf.constant(seed))]


@every_model
def test_fresh_weights_are_bit_identical_to_keras_glorot(model, monkeypatch):
    """A Keras initializer with seed s draws with the stateless seed [s, 0]."""
    monkeypatch.setattr(conv4, "fold", lambda seed, number: tf.stack([10 * seed[0] + number, 0]))
    for number, (part, shape) in enumerate(zip(fresh(model, (7, 1)), model.shapes, strict=True)):
        assert part.shape == shape and part.dtype == np.float32
        if part.ndim > 1:
            np.testing.assert_array_equal(part, tf.keras.initializers.GlorotUniform(70 + number)(shape))


@every_model
def test_fresh_weights_have_the_distribution_of_a_new_keras_model(model):
    kernels, others = 0, 0
    for part, keras in zip(fresh(model, (5, -3)), model.initial_weights(1), strict=True):
        if part.ndim > 1:
            limit = np.sqrt(6 / (np.prod(part.shape[:-2]) * (part.shape[-2] + part.shape[-1])))
            assert 0.9 * limit < np.abs(part).max() <= limit and np.abs(keras).max() <= limit
            assert abs(part.mean()) < limit / 4 and (part != keras).any()
            kernels += 1
        else:
            np.testing.assert_array_equal(part, keras)  # gammas 1, betas and bias 0
            others += 1
    assert (kernels, others) == (5, 9)


def test_fresh_weights_differ_by_seed_and_kernel():
    model = MODELS["pool-valid"]
    first, other = fresh(model, (5, -3)), fresh(model, (5, -2))
    in_graph = tf.function(lambda seed: model.fresh_weights(seed), autograph=False)(tf.constant((5, -3)))
    for number, (part, again) in enumerate(zip(first, in_graph, strict=True)):
        np.testing.assert_array_equal(part, again)
        assert part.ndim == 1 or (part != other[number]).mean() > 0.99
    assert (first[3] != first[6]).mean() > 0.99 and (first[6] != first[9]).mean() > 0.99  # of equal shape


def broken(how):
    model = Conv4((16, 16, 1), 5, 2)
    weights = [np.ones(shape, np.float32) for shape in model.shapes]
    if how == "number":
        return model, weights[:-1]
    if how == "shape":
        return model, [*weights[:-1], np.zeros(6, np.float32)]
    weights[1][0] = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}[how]
    return model, weights


@pytest.mark.parametrize("how", ["number", "shape", "nan", "inf", "-inf"])
def test_weights_that_do_not_fit_are_refused_by_name(how):
    model, weights = broken(how)
    found = "shapes" if how in ("number", "shape") else "NaN"
    with pytest.raises(ClientUpdateError, match=f"^update of user 3: .*{found}"):
        check_weights(model, weights, "update of user 3")
    with pytest.raises(ModelError, match=f"^the model: .*{found}"):
        check_weights(model, weights, "the model", ModelError)
    check_weights(model, [np.ones(shape) for shape in model.shapes], "update of user 3")
