"""Conv4: four modules of convolution, batch normalisation, ReLU and 2x2 max-pooling (section 3, ledger 9).

`Conv4.keras_model` is the network as a Keras model. `Conv4.features` and `Conv4.logits` are the same network (a test
compares them) as a function of a list of weights, in the order of the Keras model's trainable weights. Episodes need
that form: one graph uses many sets of weights at the same time.
"""

import dataclasses
import math
from collections.abc import Sequence

import tensorflow as tf

from tfmeta.models.base import Model, PureModel, Statistics
from tfmeta.models.batch_norm import BATCH_NORM_EPSILON, batch_norm
from tfmeta.models.layer_names import CONV4_MODULES as MODULES
from tfmeta.models.layer_names import CONV4_WEIGHTS
from tfmeta.plugins import shared
from tfmeta.utils.seeds import fold

_POOLING = {"pool-valid": "VALID", "pool-same": "SAME"}


@dataclasses.dataclass(frozen=True)
class Conv4(PureModel):
    """The network's shape."""

    image_shape: tuple[int, int, int]  # (H, W, C)
    ways: int  # outputs
    filters: int = 64  # per module
    downsample: str = "pool-valid"  # how a module halves its input; or "pool-same" or "stride" (ledger 9)

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Names of the weights in order."""
        return CONV4_WEIGHTS

    @property
    def feature_size(self) -> int:
        """Length of the embedding: with 64 filters 64 for 28x28 images, and 1600 for 84x84."""
        height, width, _ = self.image_shape
        for _ in range(MODULES):
            up = 0 if self.downsample == "pool-valid" else 1
            height, width = (height + up) // 2, (width + up) // 2
        return height * width * self.filters

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the weights: kernel, gamma and beta of each module, then the dense kernel and bias."""
        shapes, channels = [], self.image_shape[2]
        for _ in range(MODULES):
            shapes += [(3, 3, channels, self.filters), (self.filters,), (self.filters,)]
            channels = self.filters
        return [*shapes, (self.feature_size, self.ways), (self.ways,)]

    def keras_model(self, seed: int = 0) -> tf.keras.Model:
        """Return a Keras model that maps float32 images in [0, 1] to logits; its Glorot kernels are drawn with `seed`.

        The convolutions have no bias. Batch normalisation would cancel it, and its gradient would be rounding noise,
        which Adam with beta1 = 0 turns into steps of full size (ledger 9).
        """
        keras, stride = tf.keras.layers, 2 if self.downsample == "stride" else 1
        kernels = [tf.keras.initializers.GlorotUniform(seed * 1000 + number) for number in range(MODULES + 1)]
        layers = [keras.Input(self.image_shape)]
        for module in range(MODULES):
            convolution = dict(use_bias=False, kernel_initializer=kernels[module], name=f"conv{module}")
            layers.append(keras.Conv2D(self.filters, 3, stride, "same", **convolution))
            layers.append(keras.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"norm{module}"))
            layers.append(keras.ReLU(name=f"relu{module}"))
            if stride == 1:
                layers.append(keras.MaxPool2D(2, padding=_POOLING[self.downsample], name=f"pool{module}"))
        layers.append(keras.Flatten(name="features"))
        layers.append(keras.Dense(self.ways, kernel_initializer=kernels[MODULES], name="logits"))
        return tf.keras.Sequential(layers, name="conv4")

    def fresh_weights(self, seed: tf.Tensor) -> list[tf.Tensor]:
        """Return a fresh Keras initialisation, drawn in the graph: theta_g of ledger 28.

        Kernels are uniform within Glorot's limits, biases and betas 0, gammas 1. `seed` is int32 [2]; weight i is what
        `tf.keras.initializers.GlorotUniform` draws with the stateless seed `fold(seed, i)`.
        """
        fresh = []
        for number, (name, shape) in enumerate(zip(CONV4_WEIGHTS, self.shapes, strict=True)):
            if name.endswith("kernel"):
                limit = math.sqrt(6 / (math.prod(shape[:-2]) * (shape[-2] + shape[-1])))
                fresh.append(tf.random.stateless_uniform(shape, fold(seed, number), -limit, limit))
            else:
                fresh.append(tf.ones(shape) if name.endswith("gamma") else tf.zeros(shape))
        return fresh

    def features(
        self, weights: Sequence[tf.Tensor], images: tf.Tensor, statistics: Statistics | None = None
    ) -> tuple[tf.Tensor, Statistics]:
        """Embed images; see `PureModel.features`."""
        used = []
        for module in range(MODULES):
            kernel, gamma, beta = weights[3 * module : 3 * module + 3]
            images = tf.nn.conv2d(images, kernel, 2 if self.downsample == "stride" else 1, "SAME")
            given = None if statistics is None else statistics[module]
            images, seen = batch_norm(images, gamma, beta, given)
            used.append(seen)
            if self.downsample != "stride":
                images = tf.nn.max_pool2d(images, 2, 2, _POOLING[self.downsample])
            images = tf.nn.relu(images)  # after max-pooling: the result is the same, and the work a quarter
        return tf.reshape(images, [-1, self.feature_size]), used

    def logits(
        self, weights: Sequence[tf.Tensor], images: tf.Tensor, statistics: Statistics | None = None
    ) -> tuple[tf.Tensor, Statistics]:
        """Return logits float32 [n, ways] and the statistics used; arguments as in `features`."""
        features, used = self.features(weights, images, statistics)
        return tf.matmul(features, weights[-2]) + weights[-1], used


class Conv4Model(Model):
    """The paper's network: four convolutional modules."""

    filters: int = shared()
    downsample: str = shared()

    @property
    def smallest_side(self):
        """16 where a module halves its input and drops the rest; padding leaves one pixel of any image."""
        return 2**MODULES if self.downsample == "pool-valid" else 1

    def keras_model(self, image_shape, ways, seed):
        """Return a new Keras model; see `Conv4.keras_model`."""
        return self.pure(image_shape, ways).keras_model(seed)

    def pure(self, image_shape, ways):
        """Return the network as a function of explicit weights."""
        return Conv4(tuple(image_shape), ways, self.filters, self.downsample)
