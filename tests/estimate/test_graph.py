"""Costs that are read off a graph equal those by hand, and nothing is allocated."""

import psutil
import pytest
import tensorflow as tf

from tfmeta.estimate import costs
from tfmeta.estimate.graph import cost_of
from tfmeta.models.conv4 import Conv4
from tfmeta.models.resnet12 import ResNet12


def floats(*shape):
    return tf.TensorSpec(shape, tf.float32)


def test_a_convolution_costs_its_products():
    found = cost_of(lambda x, w: tf.nn.conv2d(x, w, 2, "SAME"), floats(10, 28, 28, 3), floats(5, 5, 3, 7))
    assert found.multiply_adds == 10 * 14 * 14 * 7 * 5 * 5 * 3
    assert found.memory == 4 * (10 * 28 * 28 * 3 + 5 * 5 * 3 * 7 + 10 * 14 * 14 * 7)
    assert found.operations == 1


def test_both_gradients_of_a_convolution_cost_as_much_as_the_convolution():
    def gradients(x, w):
        with tf.GradientTape() as tape:
            tape.watch([x, w])
            y = tf.nn.conv2d(x, w, 1, "SAME")
        return tape.gradient(y, [x, w])

    assert cost_of(gradients, floats(2, 8, 8, 3), floats(3, 3, 3, 4)).multiply_adds == 2 * 2 * 8 * 8 * 4 * 9 * 3


def test_products_of_matrices_and_depthwise_convolutions_count():
    product = cost_of(lambda a, b: tf.matmul(a, b, transpose_a=True), floats(6, 2), floats(6, 5))
    assert product.multiply_adds == 2 * 5 * 6
    batched = cost_of(lambda a, b: tf.matmul(a, b, transpose_b=True), floats(3, 2, 6), floats(3, 5, 6))
    assert batched.multiply_adds == 3 * 2 * 5 * 6
    depthwise = cost_of(
        lambda x, w: tf.nn.depthwise_conv2d(x, w, (1, 1, 1, 1), "SAME"), floats(1, 4, 4, 3), floats(3, 3, 3, 2)
    )
    assert depthwise.multiply_adds == 4 * 4 * 3 * 2 * 9


def test_memory_is_freed_after_its_last_use():
    long = cost_of(lambda x: tf.nn.relu(tf.nn.relu(tf.nn.relu(tf.nn.relu(x)))), floats(1000))
    assert long.memory == 4 * 2 * 1000  # an input and an output
    assert cost_of(lambda x: tf.reshape(x, [10, 100]), floats(1000)).memory == pytest.approx(4 * 1000, rel=0.01)


def test_what_no_result_needs_costs_nothing():
    assert cost_of(lambda x: (tf.matmul(x, x), x + 1)[1], floats(50, 50)).multiply_adds == 0


def test_costs_of_models_scale_with_images_and_filters():
    small, large = Conv4((28, 28, 1), 5, 32), Conv4((28, 28, 1), 5, 64)
    for cost in (costs.step, costs.prediction, costs.matching_step):
        assert cost(small, 20).multiply_adds == 2 * cost(small, 10).multiply_adds
        assert cost(large, 10).multiply_adds > 3 * cost(small, 10).multiply_adds
        assert cost(large, 10).memory > 1.5 * cost(small, 10).memory
    assert costs.step(small, 10).multiply_adds > 2 * costs.prediction(small, 10).multiply_adds


def test_a_keras_model_has_costs_too():
    model = ResNet12(width_scale=0.05).pure((28, 28, 1), 5)
    assert costs.step(model, 10).multiply_adds > 2 * costs.prediction(model, 10).multiply_adds > 0


def test_nothing_is_allocated():
    before = psutil.Process().memory_info().rss
    huge = Conv4((84, 84, 3), 100, 4096)
    assert costs.step(huge, 10_000).memory > 2**40
    assert psutil.Process().memory_info().rss - before < 200e6
