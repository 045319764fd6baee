"""Keras models that cannot become a function of explicit weights: each refusal names the layer and says what to do."""

import pytest
import tensorflow as tf

from tfmeta.errors import ModelError
from tfmeta.models.base import Model

SHAPE, WAYS = (8, 8, 1), 3
keras = tf.keras.layers


class Layers(Model):
    """A model of the layers that a test gives."""

    number: int = 0

    def keras_model(self, image_shape, ways, seed):
        return CASES[self.number][1]()


def sequential(*layers):
    head = [keras.Flatten(), keras.Dense(WAYS, name="logits")]
    return tf.keras.Sequential([tf.keras.Input(SHAPE), *layers, *head], name="mine")


def ended(inputs, *outputs, name="mine"):
    return tf.keras.Model(inputs, list(outputs) if len(outputs) > 1 else outputs[0], name=name)


def head_of(values, **about):
    return keras.Dense(WAYS, **{"name": "logits"} | about)(values)


def shared_layer():
    inputs, twice = tf.keras.Input(SHAPE), keras.Conv2D(1, 3, padding="same", name="twice")
    return ended(inputs, head_of(keras.Flatten()(twice(twice(inputs)))))


def two_inputs():
    one, other = tf.keras.Input(SHAPE), tf.keras.Input(SHAPE)
    return ended([one, other], head_of(keras.Flatten()(keras.Add()([one, other]))))


def two_outputs():
    inputs = tf.keras.Input(SHAPE)
    features = keras.Flatten()(inputs)
    return ended(inputs, head_of(features), features)


def functional(tail, shape=SHAPE, dtype=None):
    inputs = tf.keras.Input(shape, dtype=dtype)
    return ended(inputs, tail(inputs))


def bias_through(*between):
    return lambda: sequential(keras.Conv2D(2, 3, name="biased"), *between, keras.BatchNormalization(name="norm"))


def bias_in_a_sum():
    inputs = tf.keras.Input(SHAPE)
    paths = [keras.Conv2D(2, 3, use_bias=biased, name=f"path{biased}")(inputs) for biased in (False, True)]
    return ended(inputs, head_of(keras.Flatten()(keras.BatchNormalization(name="norm")(keras.Add()(paths)))))


class Own(tf.keras.Model):
    """A model with a call of its own."""

    def call(self, images):
        return images


class Scaled(keras.Layer):
    """A layer of one's own with a weight."""

    def build(self, shape):
        self.scale = self.add_weight("scale", ())

    def call(self, images):
        return images * self.scale


CASES = [
    (r"keras_model returned int: return a tf.keras.Model", lambda: 3),
    (r"model own is a class of its own: build it with", lambda: Own(name="own")),
    (r"model mine has no Input: begin with tf.keras.Input",
     lambda: tf.keras.Sequential([keras.Flatten(), keras.Dense(3, name="logits")], name="mine")),
    (r"model mine has 2 inputs and 1 outputs: it must take images", two_inputs),
    (r"model mine has 1 inputs and 2 outputs: it must take images", two_outputs),
    (r"takes images float32 \[None, None, 1\], but they are float32 \[8, 8, 1\]: change its Input",
     lambda: functional(lambda x: head_of(keras.GlobalMaxPool2D()(x)), (None, None, 1))),
    (r"takes images uint8 \[8, 8, 1\], but", lambda: functional(
        lambda x: head_of(keras.Flatten()(tf.cast(x, tf.float32))), dtype=tf.uint8)),
    (r"its last layer must be `Dense\(ways, name='logits'\)`",
     lambda: functional(lambda x: head_of(keras.Flatten()(x), name="output"))),
    (r"its last layer must be `Dense\(ways, name='logits'\)`",
     lambda: functional(lambda x: keras.ReLU()(head_of(keras.Flatten()(x))))),
    (r"layer logits: leave out its activation",
     lambda: functional(lambda x: head_of(keras.Flatten()(x), activation="softmax"))),
    (r"layer logits: 7 outputs, but tasks have 3 classes; give it 3",
     lambda: functional(lambda x: keras.Dense(7, name="logits")(keras.Flatten()(x)))),
    (r"the embedding, which is what layer logits takes, has shape \[8, 8, 1\]: put a Flatten",
     lambda: functional(head_of)),
    (r"layer inner \(Sequential\): is a model inside the model",
     lambda: sequential(tf.keras.Sequential([keras.Conv2D(1, 3)], name="inner"))),
    (r"layer twice \(Conv2D\): is used more than once; make a layer of its own", shared_layer),
    (r"layer mapped \(Lambda\): its code", lambda: sequential(keras.Lambda(tf.nn.relu, name="mapped"))),
    (r"layer wide \(Conv2D\): computes in float64",
     lambda: sequential(keras.Conv2D(1, 3, dtype="float64", name="wide"))),
    (r"layer decayed \(Conv2D\): has a kernel_regularizer",
     lambda: sequential(keras.Conv2D(1, 3, kernel_regularizer="l2", name="decayed"))),
    (r"layer held \(Dense\): has a bias_constraint",
     lambda: sequential(keras.Dense(2, bias_constraint="non_neg", name="held"))),
    (r"layer first \(AveragePooling2D\): only data_format='channels_last'",
     lambda: sequential(keras.AveragePooling2D(1, data_format="channels_first", name="first"))),
    (r"layer grouped \(Conv2D\): only .*groups=1",
     lambda: sequential(keras.Conv2D(2, 3), keras.Conv2D(2, 3, groups=2, name="grouped"))),
    (r"layer separable \(SeparableConv2D\): has weights, and only Conv2D, DepthwiseConv2D, Dense, BatchNormalization",
     lambda: sequential(keras.SeparableConv2D(2, 3, name="separable"))),
    (r"layer layers \(LayerNormalization\): has weights", lambda: sequential(keras.LayerNormalization(name="layers"))),
    (r"layer scaled \(Scaled\): has weights", lambda: sequential(Scaled(name="scaled"))),
    (r"layer frozen \(Conv2D\): is frozen", lambda: sequential(keras.Conv2D(1, 3, trainable=False, name="frozen"))),
    (r"layer norm \(BatchNormalization\): must normalise the last axis",
     lambda: sequential(keras.BatchNormalization(axis=1, name="norm"))),
    (r"layer norm \(BatchNormalization\): cancels the bias of layer biased, .* use_bias=False", bias_through()),
    (r"cancels the bias of layer biased", bias_through(keras.MaxPool2D())),
    (r"cancels the bias of layer pathTrue", bias_in_a_sum),
    (r"layer drop \(Dropout\): does something else in training than in prediction",
     lambda: sequential(keras.Dropout(0.5, name="drop"))),
    (r"layer noise \(GaussianNoise\): does something else", lambda: sequential(keras.GaussianNoise(0.5, name="noise"))),
    (r"layer tf.nn.dropout.* \(TFOpLambda\): does something else",
     lambda: functional(lambda x: head_of(tf.nn.dropout(keras.Flatten()(x), 0.5)))),
    (r"layer turned \(Conv2D\), kernel: the initializer Orthogonal: use a Glorot",
     lambda: sequential(keras.Conv2D(1, 3, kernel_initializer="orthogonal", name="turned"))),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_model_that_cannot_be_turned_is_refused(number):
    with pytest.raises(ModelError, match=CASES[number][0]) as raised:
        Layers(number=number).pure(SHAPE, WAYS)
    assert "\n" not in str(raised.value)


def test_an_activation_between_a_bias_and_a_normalisation_is_enough():
    inputs = tf.keras.Input(SHAPE)
    values = keras.ReLU()(keras.Conv2D(2, 3)(inputs))
    built = ended(inputs, head_of(keras.Flatten()(keras.BatchNormalization()(values))))
    CASES.append(("", lambda: built))
    assert Layers(number=len(CASES) - 1).pure(SHAPE, WAYS).feature_size == 72
