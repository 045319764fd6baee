"""The matching head for Keras: a layer, a model, and functions that return a Keras model's explicit weights."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfmeta.errors import ModelError
from tfmeta.models.base import PureModel
from tfmeta.models.matching_head import MatchingHead, check_support, others

_BUILT_WITH = {"softmax": "a model's keras_model()", "matching": "matching_model(...)"}


@tf.keras.utils.register_keras_serializable("tfmeta")
class Gates(tf.keras.constraints.Constraint):
    """Projects gates to [0, 1] after each step of an optimizer (ledger 24)."""

    def __call__(self, weight: tf.Tensor) -> tf.Tensor:
        """Return the gates, clipped to [0, 1]."""
        return tf.clip_by_value(weight, 0.0, 1.0)


@tf.keras.utils.register_keras_serializable("tfmeta")
class GatedCosineAttention(tf.keras.layers.Layer):
    """`MatchingHead` as a layer: gated, scaled cosine attention over a support set (section 4).

    Its weights are alpha [N, D], trained unless the gates are "fixed", and beta [N]. The arguments are those of
    `MatchingHead`, without the size.

    Raises:
        ConfigError: the form of the gates or the score is unknown.
    """

    def __init__(
        self, ways: int, gates: str = "projected", score: str = "examples", beta_initial: float = 10.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        MatchingHead(ways, 1, gates, score, beta_initial)  # raises ConfigError for unknown forms
        self.ways, self.gates, self.score, self.beta_initial = ways, gates, score, beta_initial

    def build(self, input_shape: list) -> None:
        """Create alpha and beta for features of the queries' size."""
        size = input_shape[0][-1]
        self.head = MatchingHead(self.ways, size, self.gates, self.score, self.beta_initial)
        alpha, beta = self.head.initial()
        self.alpha = self.add_weight(
            "alpha", alpha.shape, initializer=lambda *_, **__: alpha, trainable=self.gates != "fixed",
            constraint=Gates() if self.gates == "projected" else None,
        )  # fmt: skip
        self.beta = self.add_weight("beta", beta.shape, initializer=lambda *_, **__: beta)
        super().build(input_shape)

    def call(self, inputs: list, leave_one_out: bool = False) -> tf.Tensor:
        """Return log-probabilities float32 [q, N]; train them with a cross-entropy `from_logits=True`.

        Args:
            inputs: Queries float32 [q, D], support float32 [n, D], and labels int [n].
            leave_one_out: Whether the queries are the support examples, each classified by the others.

        Raises:
            DataError: when called eagerly, labels are out of range or a class has no support example.
        """
        queries, support, labels = inputs
        known = tf.get_static_value(labels)
        if known is not None:
            check_support(known, self.ways, f"support labels of layer {self.name}")
        labels = tf.cast(labels, tf.int32)
        allowed = others(labels) if leave_one_out else None
        return self.head.log_probabilities(self.alpha, self.beta, queries, support, labels, allowed)

    def compute_output_shape(self, input_shape: list) -> tuple:
        """Return (q, N)."""
        return (input_shape[0][0], self.ways)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that create an equal layer."""
        return super().get_config() | {name: getattr(self, name) for name in ("ways", "gates", "score", "beta_initial")}


def matching_model(model: PureModel, seed: int = 0, **head: Any) -> tf.keras.Model:
    """Return a matching network as a Keras model. Call it directly: `predict` and `fit` need inputs of equal length.

    Args:
        model: The network whose embedding queries and support share.
        seed: Seed of the embedding's weights.
        **head: Arguments of `GatedCosineAttention`.

    Returns:
        A model that maps [queries float32 [q, H, W, C], support float32 [n, H, W, C], labels int32 [n]] to
        log-probabilities float32 [q, N].
    """
    whole = model.keras_model(seed)
    embedding = tf.keras.Model(whole.inputs, whole.get_layer(model.HEAD).input, name="embedding")
    queries, support = (tf.keras.Input(model.image_shape, name=name) for name in ("queries", "support"))
    labels = tf.keras.Input((), dtype=tf.int32, name="labels")
    attention = GatedCosineAttention(model.ways, **head, name="attention")
    answer = attention([embedding(queries), embedding(support), labels])
    return tf.keras.Model([queries, support, labels], answer, name="matching")


def weights_of(
    keras_model: tf.keras.Model, head: str = "softmax"
) -> list[np.ndarray] | tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return the explicit weights of a Keras model.

    Args:
        keras_model: A model's `keras_model` or a `matching_model`.
        head: "softmax" or "matching".

    Returns:
        With "softmax" the list that `Simulation.measure` takes, else the embedding's list, alpha as stored, and beta.

    Raises:
        ModelError: the model was not built with that head, or there is no such head.
    """
    if head not in _BUILT_WITH:
        raise ModelError(f"unknown head {head!r}: choose {' or '.join(_BUILT_WITH)}")
    attention = [layer for layer in keras_model.layers if isinstance(layer, GatedCosineAttention)]
    names = [layer.name for layer in keras_model.layers]
    if head == "matching" and attention and "embedding" in names:
        embedding = _explicit(keras_model.get_layer("embedding"))
        return embedding, attention[0].alpha.numpy(), attention[0].beta.numpy()
    if head == "softmax" and not attention and PureModel.HEAD in names:
        return _explicit(keras_model)
    lacks = f"has no {head} head (its layers: {', '.join(names)}); build it with {_BUILT_WITH[head]}"
    raise ModelError(f"the model {keras_model.name} {lacks}")


def _explicit(keras_model):
    """Return the weights without BatchNorm's moving statistics, also of layers that are frozen (as in phase 1)."""
    weights = [weight for layer in keras_model.layers for weight in layer.weights]
    return [weight.numpy() for weight in weights if "/moving_" not in weight.name]
