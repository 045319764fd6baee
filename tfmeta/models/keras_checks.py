"""Which Keras models can become a function of explicit weights; every other one is refused, with what to do."""

import inspect
from collections.abc import Iterator, Sequence

import tensorflow as tf

from tfmeta.errors import ModelError
from tfmeta.models import base

_LAYERS = tf.keras.layers
WITH_WEIGHTS = (_LAYERS.Conv2D, _LAYERS.DepthwiseConv2D, _LAYERS.Dense, _LAYERS.BatchNormalization)
# A constant added to each channel passes through these layers, and batch normalisation then subtracts it.
_KEEP_CONSTANTS = (
    _LAYERS.Add, _LAYERS.Concatenate, _LAYERS.MaxPool2D, _LAYERS.AveragePooling2D, _LAYERS.GlobalAveragePooling2D,
    _LAYERS.GlobalMaxPooling2D,
)  # fmt: skip


def check_model(keras: tf.keras.Model, image_shape: Sequence[int], ways: int) -> None:
    """Raise `ModelError`, which names the layer, unless a Keras model keeps the contract of `Model.keras_model`."""
    name = check_form(keras)
    if keras.input_shape != (None, *image_shape) or keras.inputs[0].dtype != tf.float32:
        found = f"{keras.inputs[0].dtype.name} {list(keras.input_shape[1:])}"
        raise ModelError(f"{name} takes images {found}, but they are float32 {list(image_shape)}: change its Input")
    _check_head(keras, name, ways)
    for layer in keras.layers:
        where = f"{name}, layer {layer.name} ({type(layer).__name__})"
        if problem := next(_problems(layer), None):
            raise ModelError(f"{where}: {problem}")


def check_form(keras: tf.keras.Model) -> str:
    """Return a model's name for messages; raise `ModelError` unless it is layers from one input to one output."""
    if not isinstance(keras, tf.keras.Model):
        raise ModelError(f"keras_model returned {type(keras).__name__}: return a tf.keras.Model")
    name = f"the Keras model {keras.name}"
    if isinstance(keras, tf.keras.Sequential) and not keras.inputs:
        raise ModelError(f"{name} has no Input: begin with tf.keras.Input(image_shape)")
    if not keras.inputs or not type(keras).__module__.startswith("keras."):
        raise ModelError(f"{name} is a class of its own: build it with tf.keras.Model(inputs, outputs) or Sequential")
    if len(keras.inputs) != 1 or len(keras.outputs) != 1:
        numbers = f"{len(keras.inputs)} inputs and {len(keras.outputs)} outputs"
        raise ModelError(f"{name} has {numbers}: it must take images and return logits, one tensor each")
    return name


def _check_head(keras, name, ways):
    head = next((layer for layer in keras.layers if layer.name == base.PureModel.HEAD), None)
    if type(head) is not _LAYERS.Dense or head.output is not keras.outputs[0]:
        raise ModelError(f"{name}: its last layer must be `Dense(ways, name='logits')`, and its input the embedding")
    if head.activation is not tf.keras.activations.linear:
        raise ModelError(f"{name}, layer logits: leave out its activation; the loss takes logits")
    if head.units != ways:
        raise ModelError(f"{name}, layer logits: {head.units} outputs, but tasks have {ways} classes; give it {ways}")
    if len(head.input_shape) != 2:
        shape = list(head.input_shape[1:])
        what = f"{name}: the embedding, which is what layer logits takes, has shape {shape}"
        raise ModelError(f"{what}: put a Flatten or GlobalAveragePooling2D before that layer")


def _problems(layer: tf.keras.layers.Layer) -> Iterator[str]:
    """Yield what keeps a layer from being a function of explicit weights."""
    settings = layer.get_config() if type(layer).__module__.startswith("keras.") else {}
    if isinstance(layer, tf.keras.Model):
        yield "is a model inside the model; use its layers directly, such as `x = layer(x)` for each"
    if len(layer.inbound_nodes) != 1:
        yield "is used more than once; make a layer of its own for each use"
    if isinstance(layer, _LAYERS.Lambda):
        yield "its code cannot be told from other code; use an operation such as tf.nn.relu, or a layer class"
    if layer.compute_dtype != "float32":
        yield f"computes in {layer.compute_dtype}; use float32"
    for key, value in settings.items():
        if value is not None and key.endswith(("_regularizer", "_constraint")):
            yield f"has a {key}, which the training here does not apply; leave it out"
    grouped = isinstance(layer, WITH_WEIGHTS[:2]) and settings["groups"] != 1  # GroupNormalization may have groups
    if settings.get("data_format") == "channels_first" or grouped:
        yield "only data_format='channels_last' and groups=1 work here"
    yield from _with_weights(layer) if layer.weights else _without_weights(layer, settings)


def _with_weights(layer):
    if type(layer) not in WITH_WEIGHTS:
        known = ", ".join(kind.__name__ for kind in WITH_WEIGHTS)
        yield f"has weights, and only {known} may have any; build it from these"
    if not layer.trainable:
        yield "is frozen; all layers are trained here, so leave out trainable=False"
    if isinstance(layer, _LAYERS.BatchNormalization):
        rank = len(layer.input_shape)
        if list(layer.axis) != [rank - 1]:
            yield "must normalise the last axis"
        if biased := next(_cancelled(layer), None):
            # its gradient would be rounding noise, which Adam with beta1 = 0 turns into steps of full size (ledger 9)
            yield f"cancels the bias of layer {biased.name}, whose steps would be noise; give that one use_bias=False"


def _without_weights(layer, settings):
    function = str(settings.get("function", ""))  # of an operation such as tf.nn.relu
    if "training" in inspect.signature(layer.call).parameters or "dropout" in function or "random" in function:
        yield "does something else in training than in prediction, or is random; leave it out"


def _cancelled(layer):
    """Yield layers before `layer` whose bias reaches it as a constant for each channel."""
    for tensor in tf.nest.flatten(layer.input):
        before = tensor.node.layer
        biased = isinstance(before, WITH_WEIGHTS[:3]) and before.use_bias
        if biased and before.activation is tf.keras.activations.linear:
            yield before
        elif isinstance(before, _KEEP_CONSTANTS):
            yield from _cancelled(before)
