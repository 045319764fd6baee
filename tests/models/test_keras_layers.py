"""The matching head as a Keras layer and model: it equals `MatchingHead`, trains, can be saved (ledger 23 to 26)."""

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.errors import ConfigError, DataError, ModelError
from tfmeta.models.conv4 import Conv4
from tfmeta.models.keras_layers import GatedCosineAttention, Gates, matching_model, weights_of
from tfmeta.models.matching_head import MatchingHead, others

MODEL = Conv4((16, 16, 1), 3, 4)
LABELS = np.array([2, 0, 1, 2, 0, 1, 2], np.int32)
FORMS = [("projected", "examples"), ("sigmoid", "class-mean"), ("fixed", "examples")]
every_form = pytest.mark.parametrize(("gates", "score"), FORMS)
RANDOM = np.random.default_rng(1)
QUERIES, SUPPORT = RANDOM.normal(size=(5, 6)).astype(np.float32), RANDOM.normal(size=(7, 6)).astype(np.float32)
IMAGES = [RANDOM.uniform(size=(number, 16, 16, 1)).astype(np.float32) for number in (5, 7)]


def moved(attention, seed=2):
    """Set alpha and beta to values like trained ones."""
    random = np.random.default_rng(seed)
    attention.alpha.assign(random.uniform(0, 1, attention.alpha.shape))
    attention.beta.assign(random.uniform(1, 9, attention.beta.shape))


@every_form
@pytest.mark.parametrize("leave_one_out", [False, True])
def test_the_layer_equals_the_matching_head(gates, score, leave_one_out):
    layer, queries = GatedCosineAttention(3, gates, score, 7.0), SUPPORT if leave_one_out else QUERIES
    first = layer([queries, SUPPORT, LABELS], leave_one_out=leave_one_out)
    head, allowed = MatchingHead(3, 6, gates, score, 7.0), others(LABELS) if leave_one_out else None
    np.testing.assert_array_equal(first, head.log_probabilities(*head.initial(), queries, SUPPORT, LABELS, allowed))
    np.testing.assert_allclose(tf.reduce_sum(tf.exp(first), 1), 1, rtol=1e-5)
    assert tuple(first.shape) == layer.compute_output_shape([queries.shape, SUPPORT.shape, LABELS.shape])
    moved(layer)
    after = layer([queries, SUPPORT, LABELS], leave_one_out=leave_one_out)
    expected = head.log_probabilities(layer.alpha, layer.beta, queries, SUPPORT, LABELS, allowed)
    np.testing.assert_array_equal(after, expected)
    assert np.abs(after - first).max() > 0.1
    in_graph = tf.function(lambda labels: layer([queries, SUPPORT, labels], leave_one_out=leave_one_out))
    np.testing.assert_allclose(in_graph(tf.constant(LABELS, tf.int64)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("gates", "alpha", "trained"), [("projected", 1, "alpha beta"), ("sigmoid", 3, "alpha beta"), ("fixed", 1, "beta")]
)
def test_initial_weights_are_the_documented_ones(gates, alpha, trained):
    layer = GatedCosineAttention(3, gates, name="attention")
    layer.build([(None, 6), (None, 6), (None,)])
    assert [weight.name for weight in layer.trainable_weights] == [f"{name}:0" for name in trained.split()]
    np.testing.assert_array_equal(layer.alpha, np.full((3, 6), alpha))
    np.testing.assert_array_equal(layer.beta, np.full(3, 10))  # ledger 25


@every_form
def test_gates_stay_in_0_to_1_through_training(gates, score):
    """With steps that would move them far out of it."""
    layer, optimizer = GatedCosineAttention(3, gates, score), tf.keras.optimizers.Adam(0.4, beta_1=0.0)
    start = layer([SUPPORT, SUPPORT, LABELS]).numpy()
    gate, seen, losses = MatchingHead(3, 6, gates).gate, [], []
    for _ in range(6):
        with tf.GradientTape() as tape:
            logs = layer([SUPPORT, SUPPORT, LABELS], leave_one_out=True)
            loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, logs)
        weights = layer.trainable_weights
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        seen.append(gate(layer.alpha).numpy())
        losses.append(loss.numpy())
    seen = np.stack(seen)
    assert losses[-1] < losses[0]
    assert (seen >= 0).all() and (seen <= 1).all()
    if gates == "fixed":
        assert (seen == 1).all() and (layer.alpha.numpy() == 1).all()
    else:
        assert np.ptp(seen, 0).max() > 0.1
    if gates == "projected":
        assert (seen[-1] == 1).any() and (seen[-1] < 0.9).any()
        assert (layer.alpha.numpy() == seen[-1]).all()
    assert np.abs(layer([SUPPORT, SUPPORT, LABELS]) - start).max() > 0.1


@pytest.mark.parametrize("dtype", [tf.int64, tf.uint8, tf.float32])
def test_labels_may_have_any_number_type(dtype):
    layer, labels = GatedCosineAttention(3), tf.cast(LABELS, dtype)
    for leave_one_out in (False, True):
        expected = layer([SUPPORT, SUPPORT, LABELS], leave_one_out=leave_one_out)
        np.testing.assert_array_equal(layer([SUPPORT, SUPPORT, labels], leave_one_out=leave_one_out), expected)


def test_the_constraint_clips_to_0_to_1_after_serialisation_too():
    again = tf.keras.constraints.get(tf.keras.constraints.serialize(Gates()))
    for gates in (Gates(), again):
        np.testing.assert_array_equal(gates([-3.0, 0.0, 0.25, 1.0, 1.5]), np.float32([0, 0, 0.25, 1, 1]))


@pytest.mark.parametrize("field", ["gates", "score"])
def test_unknown_forms_are_refused_when_the_layer_is_created(field):
    with pytest.raises(ConfigError, match=f"^{field} = 'soft'"):
        GatedCosineAttention(3, **{field: "soft"})


@pytest.mark.parametrize(
    ("labels", "named"), [([0, 1, 2, 3, 0, 1, 2], r"labels \[3\]"), ([0, 0, 2, 2, 0, 0, 0], r"of class \[1\]")]
)
def test_labels_that_do_not_fit_are_refused_by_the_layers_name(labels, named):
    with pytest.raises(DataError, match="support labels of layer head of mine: .*" + named):
        GatedCosineAttention(3, name="head of mine")([QUERIES, SUPPORT, tf.constant(labels)])


# --- the whole model --------------------------------------------------------------------------------------------


def test_the_model_shares_one_embedding():
    model = matching_model(MODEL, seed=3, gates="sigmoid", score="class-mean", beta_initial=4.0)
    moved(model.get_layer("attention"))
    weights, alpha, beta = weights_of(model, "matching")
    initial = MODEL.initial_weights(3)
    assert all((one == other).all() for one, other in zip(weights, MODEL.embedding_of(initial), strict=True))
    for training in (True, False):
        if training:
            queries, support = (MODEL.features(weights, images)[0] for images in IMAGES)
        else:  # Keras' moving statistics, as they are before any training
            plain = [(tf.zeros(4), tf.ones(4))] * 4
            queries, support = (MODEL.features(weights, images, plain)[0] for images in IMAGES)
        head = MatchingHead(3, MODEL.feature_size, "sigmoid", "class-mean")
        expected = head.log_probabilities(alpha, beta, queries, support, LABELS)
        found = answer(model, training)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
        assert np.ptp(found, 0).max() > 0.01


def answer(model, training=False):
    statistics = [weight.numpy() for weight in model.non_trainable_weights]
    found = model([*IMAGES, LABELS], training=training).numpy()
    for variable, value in zip(model.non_trainable_weights, statistics, strict=True):
        variable.assign(value)  # training moves them
    return found


def test_the_seed_determines_the_embedding():
    one, again, other = (weights_of(matching_model(MODEL, seed), "matching")[0][0] for seed in (3, 3, 4))
    assert (one == again).all() and (one != other).any()


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize(
    ("form", "gates"),
    [
        pytest.param("tf", "projected", marks=pytest.mark.slow), ("keras", "fixed"), ("keras", "projected"),
        ("h5", "fixed"), ("config", "fixed"),
    ],
)
def test_a_saved_model_gives_the_same_answers(tmp_path, form, gates):
    model = matching_model(MODEL, seed=1, gates=gates, score="class-mean", beta_initial=4.0)
    moved(model.get_layer("attention"))
    for variable in model.get_layer("embedding").non_trainable_weights:  # BatchNorm's moving ones
        variable.assign(np.random.default_rng(5).uniform(0.5, 1, variable.shape))
    if form == "config":
        loaded = tf.keras.Model.from_config(model.get_config())
        loaded.set_weights(model.get_weights())
    else:
        path = tmp_path / {"tf": "folder", "keras": "model.keras", "h5": "model.h5"}[form]
        model.save(path, save_format=form)
        loaded = tf.keras.models.load_model(path)
    np.testing.assert_allclose(answer(loaded), answer(model), rtol=1e-5, atol=1e-5)
    attention = loaded.get_layer("attention")
    assert isinstance(attention, GatedCosineAttention)
    assert (attention.ways, attention.gates, attention.score, attention.beta_initial) == (3, gates, "class-mean", 4.0)
    assert isinstance(attention.alpha.constraint, Gates) == (gates == "projected")
    assert len(attention.trainable_weights) == (1 if gates == "fixed" else 2)
    for one, other in zip(weights_of(loaded, "matching"), weights_of(model, "matching"), strict=True):
        assert all((part == before).all() for part, before in zip(one, other, strict=True))


def test_a_layer_is_recreated_from_its_configuration():
    layer = GatedCosineAttention(4, "sigmoid", "class-mean", 2.5, name="mine", trainable=False)
    again = GatedCosineAttention.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.ways, again.gates, again.score, again.beta_initial) == (4, "sigmoid", "class-mean", 2.5)
    assert again.name == "mine" and not again.trainable


# --- to explicit weights ----------------------------------------------------------------------------------------


def test_weights_of_a_softmax_model_are_conv4s_list():
    weights = weights_of(MODEL.keras_model(2))
    assert all((one == other).all() for one, other in zip(weights, MODEL.initial_weights(2), strict=True))


def test_weights_of_a_matching_model_are_embedding_alpha_and_beta():
    model = matching_model(MODEL, gates="fixed")  # alpha is returned though it is not trained
    embedding, alpha, beta = weights_of(model, "matching")
    assert [part.shape for part in embedding] == MODEL.embedding_of(MODEL.shapes)
    assert alpha.shape == (3, MODEL.feature_size) and beta.shape == (3,)
    assert all(isinstance(part, np.ndarray) for part in (*embedding, alpha, beta))


@pytest.mark.parametrize("frozen", ["embedding", "all"])
def test_weights_of_frozen_layers_are_returned_too(frozen):
    """Phase 1 freezes the embedding."""
    matching, softmax = matching_model(MODEL, seed=2), MODEL.keras_model(2)
    before = weights_of(matching, "matching"), weights_of(softmax)
    (matching.get_layer("embedding") if frozen == "embedding" else matching).trainable = False
    softmax.trainable = False
    assert not matching.get_layer("embedding").trainable_weights and not softmax.trainable_weights
    (embedding, *head), whole = weights_of(matching, "matching"), weights_of(softmax)
    kept = zip([*embedding, *head, *whole], [*before[0][0], *before[0][1:], *before[1]], strict=True)
    assert all(np.array_equal(one, other) for one, other in kept)


def test_a_head_that_the_model_was_not_built_with_is_refused():
    features = tf.keras.Input((6,), name="features")
    own = tf.keras.Model(features, GatedCosineAttention(3)([features, SUPPORT, LABELS]), name="own")  # no embedding
    named = tf.keras.Model(features, GatedCosineAttention(3, name="logits")([features, SUPPORT, LABELS]), name="named")
    other = tf.keras.Sequential([tf.keras.layers.Dense(3, name="only")], name="other")
    other.build((None, 2))
    for model, head, built in (
        (MODEL.keras_model(), "matching", r"model conv4 has no matching head \(its layers: conv0, .*matching_model"),
        (matching_model(MODEL), "softmax", r"model matching has no softmax head .*attention.*a model's keras_model"),
        (other, "softmax", "model other has no softmax head .*only"),
        (other, "matching", "model other has no matching head"),
        (own, "matching", "model own has no matching head .*features"),
        (named, "softmax", "model named has no softmax head .*logits"),
    ):
        with pytest.raises(ModelError, match=built):
            weights_of(model, head)
    with pytest.raises(ModelError, match="unknown head 'cosine': choose softmax or matching"):
        weights_of(MODEL.keras_model(), "cosine")
