"""Layers of a Keras model as functions of explicit weights."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tfmeta.models.base import Statistics
from tfmeta.models.batch_norm import batch_norm

_LAYERS = tf.keras.layers


class Step(NamedTuple):
    """One layer's place in the network; tensors of the Keras model stand for the values that they get."""

    layer: tf.keras.layers.Layer
    args: Any
    kwargs: Any
    outputs: Any
    weights: dict[str, int]  # places of its weights in the model's list, by name, such as "kernel"


def run(
    steps: Sequence[Step], values: dict[int, tf.Tensor], weights: Sequence[tf.Tensor], statistics: Statistics | None
) -> Statistics:
    """Run steps in order.

    Args:
        steps: What to run.
        values: Values of tensors of the Keras model, by their `id`; the steps' outputs are added.
        weights: The model's weights.
        statistics: (mean, variance) of each BatchNormalization among the steps; None for the batch's own.

    Returns:
        The statistics used.
    """
    used, given = [], None if statistics is None else iter(statistics)
    for step in steps:
        args, kwargs = tf.nest.map_structure(lambda part: values.get(id(part), part), (step.args, step.kwargs))
        own = {name: weights[place] for name, place in step.weights.items()}
        if isinstance(step.layer, _LAYERS.BatchNormalization):
            output, seen = _normalised(step.layer, own, args[0], given)
            used.append(seen)
        else:
            output = _WITH_WEIGHTS.get(type(step.layer), _plain)(step.layer, own, *args, **kwargs)
        outputs = zip(tf.nest.flatten(step.outputs), tf.nest.flatten(output), strict=True)
        values.update((id(tensor), value) for tensor, value in outputs)
    return used


def _plain(layer, own, *args, **kwargs):
    return layer.call(*args, **kwargs)


def _convolution(layer, own, images):
    return _finished(layer, own, layer.convolution_op(images, own["kernel"]))


def _depthwise(layer, own, images):
    strides, padding = (1, *layer.strides, 1), layer.padding.upper()
    images = tf.nn.depthwise_conv2d(images, own["depthwise_kernel"], strides, padding, dilations=layer.dilation_rate)
    return _finished(layer, own, images)


def _dense(layer, own, values):
    return _finished(layer, own, tf.tensordot(values, own["kernel"], 1) if len(values.shape) > 2 else
                     tf.matmul(values, own["kernel"]))  # fmt: skip


def _finished(layer, own, values):
    return layer.activation(values + own["bias"] if "bias" in own else values)


def _normalised(layer, own, values, given: Iterator | None):
    """Return what a BatchNormalization returns, and the (mean, variance) used."""
    channels, shape = values.shape[-1], tf.shape(values)
    gamma, beta = own.get("gamma", tf.ones([channels])), own.get("beta", tf.zeros([channels]))
    images = values if len(values.shape) == 4 else tf.reshape(values, [-1, 1, 1, channels])
    images, seen = batch_norm(images, gamma, beta, None if given is None else next(given), layer.epsilon)
    return (images if len(values.shape) == 4 else tf.reshape(images, shape)), seen


_WITH_WEIGHTS: dict[type, Callable[..., tf.Tensor]] = {
    _LAYERS.Conv2D: _convolution, _LAYERS.DepthwiseConv2D: _depthwise, _LAYERS.Dense: _dense,
}  # fmt: skip
