"""Small Keras models of one's own, as plug-ins."""

import numpy as np
import tensorflow as tf

from tfmeta.models.base import Model

SHAPE, WAYS = (12, 10, 3), 4
keras = tf.keras.layers


class Residual(Model):
    """A sum of two paths, one with a strided convolution."""

    def keras_model(self, image_shape, ways, seed):
        inputs = tf.keras.Input(image_shape)
        left = keras.Conv2D(6, 3, 2, "same", use_bias=False, kernel_initializer="he_normal", name="left")(inputs)
        left = keras.BatchNormalization(epsilon=1e-2, name="left_norm")(left)
        right = keras.Conv2D(6, 1, 2, activation="tanh", bias_initializer="ones", name="right")(inputs)
        total = keras.LeakyReLU(0.2)(keras.Add()([left, right]))
        return tf.keras.Model(inputs, keras.Dense(ways, name="logits")(keras.GlobalAveragePooling2D()(total)))


class Depthwise(Model):
    """Padding, depthwise convolutions, a concatenation, dilation, and a normalisation without gamma and beta."""

    def keras_model(self, image_shape, ways, seed):
        inputs = tf.keras.Input(image_shape)
        padded = keras.ZeroPadding2D(1)(inputs)
        one = keras.DepthwiseConv2D(3, 2, depth_multiplier=2, use_bias=False, name="depthwise")(padded)
        two = keras.Conv2D(4, 3, 2, dilation_rate=1, use_bias=False, name="plain")(padded)
        both = keras.BatchNormalization(center=False, scale=False, name="norm")(keras.Concatenate()([one, two]))
        wide = keras.Conv2D(5, 2, dilation_rate=2, activation="relu", name="dilated")(both)
        return tf.keras.Model(inputs, keras.Dense(ways, name="logits")(keras.Flatten()(wide)))


class Operations(Model):
    """Plain TensorFlow operations between layers, and average pooling."""

    def keras_model(self, image_shape, ways, seed):
        inputs = tf.keras.Input(image_shape)
        values = keras.Conv2D(4, 3, use_bias=False)(inputs * 2.0 - 1.0)
        values = tf.nn.relu(keras.BatchNormalization()(values))
        values = keras.AveragePooling2D()(values + tf.square(values))[:, 1:]
        return tf.keras.Model(inputs, keras.Dense(ways, name="logits")(keras.Flatten()(values)))


class DenseOnly(Model):
    """A Sequential model without convolutions, with normalisations of vectors."""

    def keras_model(self, image_shape, ways, seed):
        uniform = tf.keras.initializers.RandomUniform(-0.2, 0.2, seed)
        layers = [
            tf.keras.Input(image_shape), keras.Flatten(),
            keras.Dense(9, use_bias=False, kernel_initializer=uniform, name="first"),
            keras.BatchNormalization(name="norm"), keras.ReLU(), keras.Dense(7, "tanh", name="second"),
            keras.Dense(ways, use_bias=False, name="logits"),
        ]  # fmt: skip
        return tf.keras.Sequential(layers)


class NoNormalisation(Model):
    """A model without any batch normalisation."""

    def keras_model(self, image_shape, ways, seed):
        layers = [tf.keras.Input(image_shape), keras.Conv2D(4, 3, 2), keras.ELU(), keras.MaxPool2D(), keras.Flatten()]
        return tf.keras.Sequential([*layers, keras.Dense(ways, name="logits")])


EVERY = {own.__name__: own() for own in (Residual, Depthwise, Operations, DenseOnly, NoNormalisation)}


def random_weights(model, seed=0):
    """Return weights like trained ones: gammas are not 1 and some negative, betas and biases are not 0."""
    random = np.random.default_rng(seed)
    weights = model.initial_weights(seed)
    return [part + random.normal(0, 0.5, part.shape).astype(np.float32) * (part.ndim == 1) for part in weights]


def make_images(model, number, seed=1):
    """Return noise, float32 [number, H, W, C]."""
    return np.random.default_rng(seed).uniform(size=(number, *model.image_shape)).astype(np.float32)


def keras_with(model, weights):
    """Return the Keras model with given trainable weights."""
    built = model.keras_model()
    for variable, weight in zip(built.trainable_weights, weights, strict=True):
        variable.assign(weight)
    return built


def small(filters=3, name="small"):
    """Return a small Keras model for 28x28 images, with layers that Keras names."""
    inputs = tf.keras.Input((28, 28, 1))
    values = keras.ReLU()(keras.BatchNormalization()(keras.Conv2D(filters, 3, 4, use_bias=False)(inputs)))
    values = keras.Add()([keras.MaxPool2D(2)(values), keras.AveragePooling2D(2)(values)])
    return tf.keras.Model(inputs, keras.Dense(5, name="logits")(keras.Flatten()(values)), name=name)
