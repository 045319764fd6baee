"""What a model's steps and predictions cost, read off their graphs."""

import functools

import tensorflow as tf

from tfmeta.estimate.graph import Cost, cost_of
from tfmeta.meta_learning.adam import AdamState
from tfmeta.meta_learning.reptile import supervised_step
from tfmeta.models.base import PureModel
from tfmeta.models.flat import layout_of

_ATTENTION = 16  # bytes per query, support example and class of a step of matching: scores, their masks and gradients


@functools.lru_cache(maxsize=64)  # a run has many variants of one model
def step(model: PureModel, batch: int) -> Cost:
    """Return the cost of a training step on `batch` images, Adam's state included."""
    size = [layout_of(model).size]

    def take(vector, moments, steps, images, labels):
        return supervised_step(model, vector, AdamState(moments, steps), images, labels, 0.001)[:3]

    return cost_of(take, _floats(*size), _floats(*size), _floats(), _images(model, batch), _labels(batch))


@functools.lru_cache(maxsize=64)
def matching_step(model: PureModel, support: int) -> Cost:
    """Return the cost of a step of matching on a whole support set, each image against the others."""
    plain, attention = step(model, support), _ATTENTION * support**2 * model.ways
    return plain._replace(memory=plain.memory + attention, traffic=plain.traffic + 2 * attention)


@functools.lru_cache(maxsize=64)
def prediction(model: PureModel, images: int) -> Cost:
    """Return the cost of a prediction on `images` images, the support set's among them."""
    return cost_of(
        lambda weights, given: model.logits(weights, given)[0],
        [_floats(*shape) for shape in model.shapes], _images(model, images),
    )  # fmt: skip


def _floats(*shape):
    return tf.TensorSpec(shape, tf.float32)


def _images(model, number):
    return _floats(number, *model.image_shape)


def _labels(number):
    return tf.TensorSpec([number], tf.int32)
