"""ResNet-12: its size is the literature's, and it trains and adapts."""

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import small_config

from tfmeta import registry
from tfmeta.errors import ConfigError
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import fresh_adam
from tfmeta.meta_learning.adaptation import AdaptationSettings
from tfmeta.meta_learning.reptile import inner_loop
from tfmeta.models.flat import layout_of
from tfmeta.models.resnet12 import ResNet12

SMALL = ResNet12(width_scale=1 / 32)
both_shapes = pytest.mark.parametrize("shape", [(28, 28, 1), (84, 84, 3)])


def size(shapes):
    return sum(int(np.prod(shape)) for shape in shapes)


@pytest.mark.parametrize(("widths", "millions"), [("64-160-320-640", 12.424320), ("64-128-256-512", 7.996800)])
def test_the_embedding_has_the_papers_number_of_weights(widths, millions):
    """MetaOptNet's has 12.4 million, the narrower one 8.0 million."""
    model = ResNet12(widths=widths).pure((84, 84, 3), 5)
    blocks, channels = [int(width) for width in widths.split("-")], [3]
    channels += blocks[:-1]
    by_hand = sum(9 * c * w + 2 * 9 * w * w + c * w + 4 * 2 * w for c, w in zip(channels, blocks, strict=True))
    assert size(model.embedding_of(model.shapes)) == by_hand == millions * 1e6
    assert size(model.shapes) == by_hand + 5 * blocks[-1] + 5
    assert model.feature_size == blocks[-1]


@both_shapes
def test_the_structure_is_four_blocks_of_three_convolutions_and_a_shortcut(shape):
    model = SMALL.pure(shape, 5)
    assert [part for part in model.shapes if len(part) == 4] == [
        kernel for before, width in zip((shape[2], 2, 5, 10), (2, 5, 10, 20), strict=True)
        for kernel in ((3, 3, before, width), (3, 3, width, width), (3, 3, width, width), (1, 1, before, width))
    ]  # fmt: skip
    keras = model.keras_model()
    assert [keras.get_layer(f"block{block}_pool").output_shape[1:3] for block in range(4)] == [
        (shape[0] // 2**halved,) * 2 for halved in (1, 2, 3, 4)
    ]
    names = [name for name in model.weight_names if name.startswith("block2")]
    assert {"block2_conv1/kernel", "block2_shortcut/kernel", "block2_shortcut_norm/beta"} < set(names)
    assert len(names) == 12 and not [name for name in model.weight_names[:-2] if name.endswith("bias")]


def test_a_block_by_hand():
    """The last block's output, from its input, written out."""
    model = SMALL.pure((28, 28, 1), 5)
    keras, images = model.keras_model(2), np.random.default_rng(1).uniform(size=(3, 28, 28, 1)).astype(np.float32)
    weights = dict(zip(model.weight_names, model.initial_weights(2), strict=True))
    outputs = [keras.get_layer(name).output for name in ("block2_pool", "block3_pool")]
    before, after = tf.keras.Model(keras.inputs, outputs)(images, training=True)

    def normalised(values, kernel):
        values = tf.nn.conv2d(values, weights[f"block3_{kernel}/kernel"], 1, "SAME").numpy()
        return (values - values.mean((0, 1, 2))) / np.sqrt(values.var((0, 1, 2)) + 1e-3)

    inner = before.numpy()
    for kernel in ("conv0", "conv1"):
        inner = normalised(inner, kernel)
        inner = np.where(inner > 0, inner, 0.1 * inner)
    total = normalised(inner, "conv2") + normalised(before, "shortcut")
    total = np.where(total > 0, total, 0.1 * total)
    np.testing.assert_allclose(after, total[:, :2, :2].max((1, 2), keepdims=True), atol=1e-4)


def test_kernels_are_hes_normal_by_outputs():
    first, other = (ResNet12(width_scale=0.25).pure((28, 28, 1), 5).initial_weights(seed) for seed in (1, 2))
    for part, different in zip(first[:-2], other, strict=False):
        if part.ndim == 4:
            fan_out = part.shape[0] * part.shape[1] * part.shape[3]
            np.testing.assert_allclose(part.std(), np.sqrt(2 / fan_out), rtol=0.2)
            assert (part != different).mean() > 0.99


@both_shapes
def test_a_training_step_moves_every_weight(shape):
    model, random = SMALL.pure(shape, 5), np.random.default_rng(1)
    layout, images = layout_of(model), random.integers(0, 256, (10, *shape), np.uint8)
    vector, labels = layout.pack(model.initial_weights(0)), tf.constant(np.arange(10) % 5, tf.int32)
    batches = episodes.batch_stream(tf.constant([1, 2]), 10, 2, 5)
    step = tf.function(lambda: inner_loop(model, vector, fresh_adam(layout.size), images, labels, batches, 0.01))
    moved, _, loss = step()
    assert 0 < loss < 10
    for name, before, after in zip(model.weight_names, layout.unpack(vector), layout.unpack(moved), strict=True):
        assert np.isfinite(after).all() and (before != after).numpy().mean() > 0.5, name
    np.testing.assert_array_equal(step()[0], moved)


@pytest.mark.slow
@both_shapes
@pytest.mark.parametrize("defence", ["fine_tuning", "matching"])
def test_it_adapts(shape, defence):
    model, random = SMALL.pure(shape, 5), np.random.default_rng(1)
    config = small_config(attention_steps=1)
    support = random.integers(0, 256, (10, *shape), np.uint8)
    labels, queries = tf.constant(np.arange(10) % 5, tf.int32), random.integers(0, 256, (4, *shape), np.uint8)
    adapt = tf.function(lambda weights: registry.build("defences", config, defence).adapt(
        model, AdaptationSettings.of(config), weights, support, labels, [queries], tf.constant([3, 4]), [0, 3]
    ))  # fmt: skip
    answers = adapt([tf.constant(part) for part in model.initial_weights(1)])
    assert answers.shape == (2, 4, 5) and (answers[0] != answers[1]).numpy().any()
    np.testing.assert_allclose(tf.reduce_sum(answers, -1), 1, rtol=1e-4)


def test_a_wrong_width_is_refused():
    with pytest.raises(ConfigError, match=r"^meta_learning.widths = '64' .*one of 64-160-320-640, 64-128-256-512"):
        ResNet12(widths="64")
    with pytest.raises(ConfigError, match=r"^meta_learning.width_scale = 0"):
        ResNet12(width_scale=0)


def test_the_registry_lists_both_networks_and_reads_their_options():
    built_in = [name for name in registry.names("models") if registry.is_built_in("models", name)]
    assert built_in == ["conv4", "resnet12"]
    assert list(registry.options_of("models", "resnet12")) == ["widths", "width_scale"]
    config = small_config(model="resnet12", width_scale=0.05)
    assert registry.build("models", config).width_scale == 0.05
