"""Keras initializers, drawn in the graph with a stateless seed: a fresh initialisation of a layer."""

import functools
import math
from collections.abc import Callable

import tensorflow as tf

from tfmeta.errors import ModelError

_OWN = tf.keras.initializers
# A normal distribution that is cut at two standard deviations has this one. Keras divides by it.
_TRUNCATED = 0.87962566103423978


def drawing(initializer: tf.keras.initializers.Initializer) -> Callable[[tuple[int, ...], tf.Tensor], tf.Tensor]:
    """Return the function that draws as an initializer does, but with a seed that the graph computes.

    It takes a weight's shape and a seed int32 [2], and returns float32 of that shape: what Keras itself draws with
    that stateless seed, bit for bit. The initializer's own seed is not used.

    Raises:
        ModelError: there is no such function for this initializer; the message says for which there is.
    """
    kinds = [kind for kind in _KINDS if isinstance(initializer, kind)]
    if not kinds or not type(initializer).__module__.startswith("keras."):
        known = ", ".join(kind.__name__ for kind in _KINDS)
        name = type(initializer).__name__
        raise ModelError(f"the initializer {name}: use a Glorot, He or LeCun one, or one of {known}")
    return functools.partial(_KINDS[kinds[0]], initializer)


def _scaled(own, shape, seed):
    """Draw as `VarianceScaling`, the base of Glorot's, He's and LeCun's."""
    receptive = math.prod(shape[:-2])  # pixels of a convolution's kernel
    fans = {"fan_in": (shape[-2] if len(shape) > 1 else shape[0]) * receptive, "fan_out": shape[-1] * receptive}
    fans["fan_avg"] = (fans["fan_in"] + fans["fan_out"]) / 2
    variance = own.scale / max(1.0, fans[own.mode])
    if own.distribution == "uniform":
        limit = math.sqrt(3 * variance)
        return tf.random.stateless_uniform(shape, seed, -limit, limit)
    if own.distribution == "untruncated_normal":
        return tf.random.stateless_normal(shape, seed, 0.0, math.sqrt(variance))
    return tf.random.stateless_truncated_normal(shape, seed, 0.0, math.sqrt(variance) / _TRUNCATED)


_KINDS = {
    _OWN.VarianceScaling: _scaled,
    _OWN.RandomUniform: lambda own, shape, seed: tf.random.stateless_uniform(shape, seed, own.minval, own.maxval),
    _OWN.RandomNormal: lambda own, shape, seed: tf.random.stateless_normal(shape, seed, own.mean, own.stddev),
    _OWN.TruncatedNormal: lambda own, shape, seed: tf.random.stateless_truncated_normal(
        shape, seed, own.mean, own.stddev
    ),
    _OWN.Zeros: lambda own, shape, seed: tf.zeros(shape),
    _OWN.Ones: lambda own, shape, seed: tf.ones(shape),
    _OWN.Constant: lambda own, shape, seed: tf.constant(own.value, tf.float32, shape),
}
