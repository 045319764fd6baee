"""Conv4: four modules of convolution, batch normalisation, ReLU and 2x2 max-pooling (section 3, ledger 9).

``Conv4.keras_model`` is the network as Keras users know it; ``Conv4.features`` and ``Conv4.logits`` are the same
function of an explicit list of weights, in the Keras model's trainable order, which is what episodes need: many
sets of weights, side by side, in one graph. A test holds the two together.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from tfmeta.errors import ClientUpdateError
from tfmeta.models.layer_names import MODULES
from tfmeta.utils.seeds import fold

BATCH_NORM_EPSILON = 1e-3  # Keras' default
_POOLING = {"pool-valid": "VALID", "pool-same": "SAME"}


@dataclasses.dataclass(frozen=True)
class Conv4:
    """The network's shape: ``image_shape`` (H, W, C), ``ways`` outputs, ``filters`` a module, ``downsample``."""

    image_shape: tuple[int, int, int]
    ways: int
    filters: int = 64
    downsample: str = "pool-valid"  # "pool-same" or "stride" (ledger 9)

    @property
    def feature_size(self):
        """Length of the embedding: 64 for 28x28 and 1600 for 84x84 with 64 filters."""
        height, width, _ = self.image_shape
        for _ in range(MODULES):
            up = 0 if self.downsample == "pool-valid" else 1
            height, width = (height + up) // 2, (width + up) // 2
        return height * width * self.filters

    @property
    def shapes(self):
        """Shapes of the weights: kernel, gamma, beta of each module, then the dense kernel and bias."""
        shapes, channels = [], self.image_shape[2]
        for _ in range(MODULES):
            shapes += [(3, 3, channels, self.filters), (self.filters,), (self.filters,)]
            channels = self.filters
        return [*shapes, (self.feature_size, self.ways), (self.ways,)]

    def keras_model(self, seed=0):
        """Return a ``tf.keras.Model`` that maps pictures in [0, 1] to logits; kernels Glorot with ``seed``.

        The convolutions have no bias: batch normalisation takes it away again, and its gradient is rounding
        noise that Adam with beta1 = 0 turns into steps of full size (tff-notes).
        """
        stride = 2 if self.downsample == "stride" else 1
        layers = [tf.keras.layers.Input(self.image_shape)]
        for module in range(MODULES):
            layers += [
                tf.keras.layers.Conv2D(
                    self.filters, 3, stride, "same", use_bias=False, name=f"conv{module}",
                    kernel_initializer=tf.keras.initializers.GlorotUniform(seed * 1000 + module),
                ),
                tf.keras.layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"norm{module}"),
                tf.keras.layers.ReLU(name=f"relu{module}"),
            ]  # fmt: skip
            if stride == 1:
                padding = _POOLING[self.downsample].lower()
                layers.append(tf.keras.layers.MaxPool2D(2, padding=padding, name=f"pool{module}"))
        layers += [
            tf.keras.layers.Flatten(name="features"),
            tf.keras.layers.Dense(
                self.ways, name="logits",
                kernel_initializer=tf.keras.initializers.GlorotUniform(seed * 1000 + MODULES),
            ),
        ]  # fmt: skip
        return tf.keras.Sequential(layers, name="conv4")

    def initial_weights(self, seed=0):
        """Return a fresh Keras initialisation as a list of float32 arrays (trainable weights, ledger 8)."""
        return [weight.numpy() for weight in self.keras_model(seed).trainable_weights]

    def fresh_weights(self, seed):
        """Return a fresh Keras initialisation, drawn in the graph: theta_g of ledger 28.

        Kernels are uniform in the limits of Glorot, biases and BatchNorm's betas 0, its gammas 1. ``seed``: int32
        [2]; weight i is what ``tf.keras.initializers.GlorotUniform`` draws with ``fold(seed, i)``.
        """
        fresh = []
        for number, shape in enumerate(self.shapes):
            if len(shape) > 1:
                field = math.prod(shape[:-2])
                limit = math.sqrt(6 / (field * (shape[-2] + shape[-1])))
                fresh.append(tf.random.stateless_uniform(shape, fold(seed, number), -limit, limit))
            else:
                gamma = number < 3 * MODULES and number % 3 == 1
                fresh.append(tf.ones(shape) if gamma else tf.zeros(shape))
        return fresh

    def features(self, weights, images, statistics=None):
        """Embed pictures.

        Args:
          weights: list of tensors, shaped like ``shapes`` (those of the dense layer are not read).
          images: float32 [n, H, W, C] in [0, 1].
          statistics: None to normalise with the batch's own statistics (training, ledger 6), or what an earlier
            call returned, to normalise each picture by itself with those (prediction, ledger 7).

        Returns:
          float32 [n, feature_size], and the statistics used: [(mean, variance) of each module].
        """
        used = []
        for module in range(MODULES):
            kernel, gamma, beta = weights[3 * module : 3 * module + 3]
            images = tf.nn.conv2d(images, kernel, 2 if self.downsample == "stride" else 1, "SAME")
            given = None if statistics is None else statistics[module]
            images, seen = _batch_norm(images, gamma, beta, given)
            used.append(seen)
            if self.downsample != "stride":
                images = tf.nn.max_pool2d(images, 2, 2, _POOLING[self.downsample])
            # ReLU commutes with max-pooling; behind it, it runs on a quarter of the values
            images = tf.nn.relu(images)
        return tf.reshape(images, [-1, self.feature_size]), used

    def logits(self, weights, images, statistics=None):
        """Return logits float32 [n, ways] and the statistics used; arguments as in ``features``."""
        features, used = self.features(weights, images, statistics)
        return tf.matmul(features, weights[-2]) + weights[-1], used


def _batch_norm(images, gamma, beta, statistics):
    if statistics is not None:
        mean, variance = statistics
        return tf.compat.v1.nn.fused_batch_norm(
            images, gamma, beta, mean, variance, BATCH_NORM_EPSILON, is_training=False
        )[0], statistics
    images, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        images, gamma, beta, epsilon=BATCH_NORM_EPSILON, is_training=True
    )
    # the operation reports the unbiased variance but normalises with the biased one, and so must a prediction
    count = tf.cast(tf.reduce_prod(tf.shape(images)[:3]), tf.float32)
    return images, (mean, variance * ((count - 1.0) / count))


def check_weights(model, weights, where, error=ClientUpdateError):
    """Raise ``error`` naming ``where`` if the weights' number, shapes or values do not fit."""
    shapes = [tuple(np.shape(weight)) for weight in weights]
    if shapes != [tuple(shape) for shape in model.shapes]:
        raise error(f"{where}: weights of shapes {shapes}, but the model has {model.shapes}")
    if not all(np.isfinite(weight).all() for weight in weights):
        raise error(f"{where}: the weights hold NaN or infinity; it cannot be used, train it again from clean updates")
