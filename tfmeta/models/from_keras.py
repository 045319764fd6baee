"""From a Keras model to a function of explicit weights.

`FromKeras` is the pure form of any model plug-in that has no hand-written one. Convolutions, dense layers and batch
normalisation take their weights from a list; layers without weights are called as they are.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfmeta.errors import ModelError
from tfmeta.models import base  # not its names: the registry takes a class for a plug-in by the names of its bases
from tfmeta.models.initializers import drawing
from tfmeta.models.keras_checks import check_model
from tfmeta.models.keras_steps import Step, run
from tfmeta.models.seeded import seeded
from tfmeta.utils.seeds import fold

# Conv4's modules together compute 4/3 of the values of its first one, which `PureModel.filters` counts.
_OF_THE_FIRST = 3 / 4


@dataclasses.dataclass(frozen=True)
class FromKeras(base.PureModel):
    """A model plug-in's network as a function of explicit weights. Equal plug-ins make equal networks.

    Raises:
        ModelError: the Keras model does not keep the contract of `Model.keras_model`; the message names the layer.
    """

    plugin: base.Model
    image_shape: tuple[int, int, int]  # (H, W, C)
    ways: int

    def __post_init__(self):
        _network(self)  # raises now, and not in the first graph

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Names of the weights in order."""
        return _network(self).names

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the weights."""
        return list(_network(self).shapes)

    @property
    def feature_size(self) -> int:
        """Length of the embedding."""
        return _network(self).head.layer.input_shape[-1]

    @property
    def filters(self) -> int:
        """Values per pixel that a module like Conv4's first one computes for an image, for estimates of memory."""
        steps = [step for step in _network(self).steps if {"kernel", "depthwise_kernel"} & step.weights.keys()]
        values = sum(math.prod(step.layer.output_shape[1:]) for step in steps)
        return max(1, math.ceil(_OF_THE_FIRST * values / math.prod(self.image_shape[:2])))

    def keras_model(self, seed: int = 0) -> tf.keras.Model:
        """Return a new Keras model that maps float32 images in [0, 1] to logits, initialised with `seed`."""
        return seeded(lambda: self.plugin.keras_model(self.image_shape, self.ways, seed), seed)

    def fresh_weights(self, seed: tf.Tensor) -> list[tf.Tensor]:
        """Return a fresh initialisation from each layer's initializers; weight i has the seed `fold(seed, i)`."""
        network = _network(self)
        pairs = zip(network.draws, network.shapes, strict=True)
        return [draw(shape, fold(seed, number)) for number, (draw, shape) in enumerate(pairs)]

    def features(
        self, weights: Sequence[tf.Tensor], images: tf.Tensor, statistics: base.Statistics | None = None
    ) -> tuple[tf.Tensor, base.Statistics]:
        """Embed images; see `PureModel.features`."""
        network, values = _network(self), {}
        values[id(network.input)] = tf.convert_to_tensor(images)
        used = run(network.steps, values, weights, statistics)
        return values[id(network.head.layer.input)], used

    def logits(
        self, weights: Sequence[tf.Tensor], images: tf.Tensor, statistics: base.Statistics | None = None
    ) -> tuple[tf.Tensor, base.Statistics]:
        """Return logits float32 [n, ways] and the statistics used; arguments as in `features`."""
        head = _network(self).head
        features, used = self.features(weights, images, statistics)
        values = {id(head.layer.input): features}
        run([head], values, weights, None)
        return values[id(head.layer.output)], used


class _Network(NamedTuple):
    """What is read off a Keras model once."""

    input: tf.Tensor
    steps: list[Step]  # of the embedding
    head: Step
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    draws: list[Callable[[tuple[int, ...], tf.Tensor], tf.Tensor]]  # by shape and seed


@functools.lru_cache(maxsize=8)
def _network(model: FromKeras) -> _Network:
    keras = model.keras_model()
    check_model(keras, model.image_shape, model.ways)
    trainable, inputs = keras.trainable_weights, tf.keras.layers.InputLayer
    places = {id(weight): place for place, weight in enumerate(trainable)}
    steps = [_step(layer, places) for layer in keras.layers if not isinstance(layer, inputs)]
    owners = {place: (step.layer, name) for step in steps for name, place in step.weights.items()}
    names = tuple(f"{owners[place][0].name}/{owners[place][1]}" for place in range(len(trainable)))
    draws = [_drawing(*owners[place]) for place in range(len(trainable))]
    *embedding, head = steps  # in the order in which they can run, so the head comes last
    return _Network(keras.inputs[0], embedding, head, names, tuple(tuple(one.shape) for one in trainable), draws)


def _step(layer, places):
    (node,) = layer.inbound_nodes
    own = {weight.name.rpartition("/")[2].split(":")[0]: places[id(weight)] for weight in layer.trainable_weights}
    return Step(layer, node.call_args, node.call_kwargs, node.outputs, own)


def _drawing(layer, weight):
    """Return how a layer's weight is drawn; raise `ModelError` where it cannot be drawn in the graph."""
    option = "depthwise" if weight == "depthwise_kernel" else weight  # what Keras calls it
    try:
        return drawing(getattr(layer, f"{option}_initializer"))
    except ModelError as error:
        raise ModelError(f"layer {layer.name} ({type(layer).__name__}), {weight}: {error}") from error
