"""The matching head for Keras: a layer, a model, and functions that return a Keras model's explicit weights."""

from typing import Any

import numpy as np
import tensorflow as tf

from tfmeta.errors import ModelError
from tfmeta.models.conv4 import Conv4
from tfmeta.models.matching_head import MatchingHead, check_support, others

_PACKAGE = "tfmeta"
_BUILT_WITH = {"softmax": "Conv4.keras_model()", "matching": "matching_model(...)"}


@tf.keras.utils.register_keras_serializable(_PACKAGE)
class Gates(tf.keras.constraints.Constraint):
    """Projects gates to [0, 1] after each step of an optimizer (ledger 24)."""

    def __call__(self, weight: tf.Tensor) -> tf.Tensor:
        """Return the gates, clipped to [0, 1]."""
        return tf.clip_by_value(weight, 0.0, 1.0)


@tf.keras.utils.register_keras_serializable(_PACKAGE)
class GatedCosineAttention(tf.keras.layers.Layer):
    """Gated, scaled cosine attention over a support set (section 4); its weights are alpha [N, D] and beta [N].

    Args:
        ways: N.
        gates: "projected" (alpha starts at 1, and is clipped to [0, 1]), "sigmoid" (the weight is the gates' logit and
            starts at 3) or "fixed" (alpha is 1 and not trained).
        score: "examples" or "class-mean".
        beta_initial: Initial value of the scales (ledger 25).

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
        """Return log-probabilities float32 [q, N].

        Train it with a cross-entropy `from_logits=True`; that is exact, since the probabilities add up to 1.

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
        own = {name: getattr(self, name) for name in ("ways", "gates", "score", "beta_initial")}
        return {**super().get_config(), **own}


def matching_model(model: Conv4, seed: int = 0, **head: Any) -> tf.keras.Model:
    """Return a matching network as a Keras model.

    Call it directly: `predict` and `fit` require inputs of equal length.

    Args:
        model: The network whose embedding queries and support share; its Glorot kernels are drawn with `seed`.
        seed: Seed of the kernels.
        **head: Arguments of `GatedCosineAttention`.

    Returns:
        A model of [queries float32 [q, H, W, C], support float32 [n, H, W, C], labels int32 [n]] that returns
        log-probabilities float32 [q, N].
    """
    whole = model.keras_model(seed)
    embedding = tf.keras.Model(whole.inputs, whole.get_layer("features").output, name="embedding")
    queries = tf.keras.Input(model.image_shape, name="queries")
    support = tf.keras.Input(model.image_shape, name="support")
    labels = tf.keras.Input((), dtype=tf.int32, name="labels")
    attention = GatedCosineAttention(model.ways, **head, name="attention")
    answer = attention([embedding(queries), embedding(support), labels])
    return tf.keras.Model([queries, support, labels], answer, name="matching")


def weights_of(
    keras_model: tf.keras.Model, head: str = "softmax"
) -> list[np.ndarray] | tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return the explicit weights of a Keras model.

    Args:
        keras_model: A `Conv4.keras_model` or a `matching_model`.
        head: "softmax" or "matching".

    Returns:
        With "softmax" the list that `Simulation.measure` takes. With "matching" the embedding's list, alpha as stored
        [N, D], and beta [N].

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
    if head == "softmax" and not attention and "logits" in names:
        return _explicit(keras_model)
    raise ModelError(
        f"the model {keras_model.name} has no {head} head (its layers: {', '.join(names)}); build it with "
        f"{_BUILT_WITH[head]}"
    )


def _explicit(keras_model):
    """Return the weights without BatchNorm's moving statistics, also of layers that are frozen (as in phase 1)."""
    weights = [weight for layer in keras_model.layers for weight in layer.weights]
    return [weight.numpy() for weight in weights if "/moving_" not in weight.name]
