"""ResNet-12: the residual network of few-shot learning.

Its structure is that of Oreshkin et al., "TADAM: Task dependent adaptive metric for improved few-shot learning" (2018):
four residual blocks of three 3x3 convolutions, each block with a 1x1 convolution as its shortcut and 2x2 max-pooling at
its end, then global average pooling. The widths 64, 128, 256 and 512 are TADAM's too. The default widths (64, 160, 320
and 640), the leaky ReLUs and the initial weights are those of Lee et al., "Meta-learning with differentiable convex
optimization" (MetaOptNet, 2019). Neither DropBlock nor dropout is used: the training here has no layers that are
random.
"""

import tensorflow as tf

from tfmeta.models.base import Model
from tfmeta.plugins import number, word

_SLOPE = 0.1  # of the leaky ReLUs
_CONVOLUTIONS = 3  # per block


class ResNet12(Model):
    """The residual network with four blocks; the length of its embedding is the last block's width."""

    smallest_side = 16  # each block halves it

    widths: str = word(
        "64-160-320-640", "filters of ResNet-12's blocks", ("64-160-320-640", "64-128-256-512"), source="MetaOptNet"
    )
    width_scale: float = number(1.0, "factor of ResNet-12's widths, for quick trials", 0, 4, above=True)

    def keras_model(self, image_shape, ways, seed):
        """Return a new Keras model; see `Model.keras_model`. Convolutions have no bias (ledger 9)."""
        inputs = images = tf.keras.Input(image_shape)
        for block, width in enumerate(self.widths.split("-")):
            images = _block(images, f"block{block}", max(1, round(int(width) * self.width_scale)))
        features = tf.keras.layers.GlobalAveragePooling2D(name="features")(images)
        return tf.keras.Model(inputs, tf.keras.layers.Dense(ways, name="logits")(features), name="resnet12")


def _block(images, name, width):
    """Return the output of a residual block, of half the height and width."""
    inner = images
    for place in range(_CONVOLUTIONS):
        inner = _convolution(inner, f"{name}_conv{place}", f"{name}_norm{place}", width, 3)
        if place < _CONVOLUTIONS - 1:
            inner = tf.keras.layers.LeakyReLU(_SLOPE, name=f"{name}_relu{place}")(inner)
    shortcut = _convolution(images, f"{name}_shortcut", f"{name}_shortcut_norm", width, 1)
    total = tf.keras.layers.Add(name=f"{name}_add")([inner, shortcut])
    total = tf.keras.layers.LeakyReLU(_SLOPE, name=f"{name}_relu{_CONVOLUTIONS - 1}")(total)
    return tf.keras.layers.MaxPool2D(2, name=f"{name}_pool")(total)


def _convolution(images, name, norm, width, side):
    """Return a normalised convolution; its kernel is He's, normal and by outputs, as in MetaOptNet."""
    kernel = tf.keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    convolution = tf.keras.layers.Conv2D(
        width, side, padding="same", use_bias=False, kernel_initializer=kernel, name=name
    )
    return tf.keras.layers.BatchNormalization(name=norm)(convolution(images))
