"""`Model`, the contract of a network as a plug-in, and `PureModel`: the network as a function of explicit weights.

Episodes and tasks need the pure form, since one graph uses many sets of weights at the same time.
"""

import abc
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfmeta.errors import ClientUpdateError, ConfigError
from tfmeta.plugins import Plugin

Statistics = list[tuple[tf.Tensor, tf.Tensor]]  # (mean, variance) of each BatchNormalization, float32 [channels]


class PureModel(abc.ABC):
    """A network of an embedding and a head, as a function of a list of weights.

    The list has the order of the Keras model's trainable weights. Subclasses are hashable, and two that compute the
    same are equal: traced graphs are kept by model.
    """

    HEAD: ClassVar[str] = "logits"  # the name of the layer that is the head; all others are the embedding

    image_shape: tuple[int, int, int]  # (H, W, C)
    ways: int  # outputs

    @property
    @abc.abstractmethod
    def weight_names(self) -> tuple[str, ...]:
        """Names of the weights in order: the layer's and the weight's own, such as `conv0/kernel`."""

    @property
    @abc.abstractmethod
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the weights."""

    @property
    @abc.abstractmethod
    def feature_size(self) -> int:
        """Length of the embedding, D."""

    @property
    @abc.abstractmethod
    def filters(self) -> int:
        """Channels of the first module, for estimates of memory."""

    @abc.abstractmethod
    def keras_model(self, seed: int = 0) -> tf.keras.Model:
        """Return a new Keras model that maps float32 images in [0, 1] to logits, initialised with `seed`."""

    @abc.abstractmethod
    def fresh_weights(self, seed: tf.Tensor) -> list[tf.Tensor]:
        """Return a fresh initialisation, drawn in the graph with the stateless `seed`, int32 [2]."""

    @abc.abstractmethod
    def features(
        self, weights: Sequence[tf.Tensor], images: tf.Tensor, statistics: Statistics | None = None
    ) -> tuple[tf.Tensor, Statistics]:
        """Embed images.

        Args:
            weights: Tensors shaped like `shapes`. The head's are not read and may be left out.
            images: float32 [n, H, W, C] in [0, 1].
            statistics: None for the batch's own (training, ledger 6), or what an earlier call returned, so that an
                image's features do not depend on the other images (prediction, ledger 7).

        Returns:
            float32 [n, feature_size], and the statistics used.
        """

    @abc.abstractmethod
    def logits(
        self, weights: Sequence[tf.Tensor], images: tf.Tensor, statistics: Statistics | None = None
    ) -> tuple[tf.Tensor, Statistics]:
        """Return logits float32 [n, ways] and the statistics used; arguments as in `features`."""

    def initial_weights(self, seed: int = 0) -> list[np.ndarray]:
        """Return the trainable weights of a new Keras model, float32 (ledger 8)."""
        return [weight.numpy() for weight in self.keras_model(seed).trainable_weights]

    def embedding_of(self, values: Iterable[Any]) -> list[Any]:
        """Return the embedding's part of a list that has one value per weight: the weights, their names or shapes."""
        pairs = zip(self.weight_names, values, strict=True)
        return [value for name, value in pairs if name.rpartition("/")[0] != self.HEAD]


class Model(Plugin):
    """A network: an embedding of images, and a dense layer on top of it."""

    KIND: ClassVar[str] = "models"
    smallest_side: ClassVar[int] = 1  # in pixels, of the images that it takes

    @abc.abstractmethod
    def keras_model(self, image_shape: tuple[int, int, int], ways: int, seed: int) -> tf.keras.Model:
        """Return a new Keras model, functional or Sequential, that maps images to logits.

        Its last layer is `tf.keras.layers.Dense(ways, name="logits")`; what that layer takes is the embedding, float32
        [n, D]. Convolutions (also depthwise ones), dense layers and batch normalisation may have weights. All other
        layers have none: activations, pooling, padding, sums and the like, but no dropout.

        Args:
            image_shape: (H, W, C) of images, float32 in [0, 1].
            ways: Outputs.
            seed: Seed of the initial weights. Initializers without a seed of their own draw with it anyway.
        """

    def pure(self, image_shape: tuple[int, int, int], ways: int) -> PureModel:
        """Return the network as a function of explicit weights; the plug-in must be bound to a configuration.

        Raises:
            ModelError: the Keras model does not keep the contract; the message names the layer and says what to do.
        """
        from tfmeta.models.from_keras import FromKeras

        return FromKeras(self, tuple(image_shape), ways)

    def check_size(self, image_shape: tuple[int, int, int]) -> None:
        """Raise `ConfigError` for images of a shape (H, W, C) that the network cannot take."""
        needed, (height, width, _) = self.smallest_side, image_shape
        if min(height, width) < needed:
            raise ConfigError(
                f"meta_learning.model = {self.NAME}: it needs at least {needed}x{needed} pixels, and the images have "
                f"{height}x{width}: choose larger images, another model, or another way to halve them"
            )


def check_weights(model: PureModel, weights: list, where: str, error: type[Exception] = ClientUpdateError) -> None:
    """Raise `error`, which names `where`, unless weights have a model's shapes and finite values."""
    shapes = [tuple(np.shape(weight)) for weight in weights]
    if shapes != model.shapes:
        raise error(f"{where}: weights of shapes {shapes}, but the model has {model.shapes}")
    if not all(np.isfinite(weight).all() for weight in weights):
        raise error(f"{where}: the weights hold NaN or infinity and are of no use; train again from clean updates")
