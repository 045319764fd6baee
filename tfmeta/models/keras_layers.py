"""The matching head for people who build with Keras: a layer, a model, and the way to and from explicit weights."""

import tensorflow as tf

from tfmeta.errors import ModelError
from tfmeta.models.matching_head import MatchingHead, check_support, others

_PACKAGE = "tfmeta"


@tf.keras.utils.register_keras_serializable(_PACKAGE)
class Gates(tf.keras.constraints.Constraint):
    """Projects gates to [0, 1] after each step of an optimizer (ledger 24)."""

    def __call__(self, weight):
        """Return the gates, none below 0 or above 1."""
        return tf.clip_by_value(weight, 0.0, 1.0)


@tf.keras.utils.register_keras_serializable(_PACKAGE)
class GatedCosineAttention(tf.keras.layers.Layer):
    """Gated, scaled cosine attention over a support set (section 4); its weights are alpha [N, D] and beta [N].

    Called with [queries float32 [q, D], support float32 [n, D], labels int [n]] it returns log-probabilities float32
    [q, N] (train it with a cross-entropy ``from_logits=True``: their exponentials add up to 1). With
    ``leave_one_out=True`` the queries are the support examples themselves, each classified by the others.

    Args:
      ways: N.
      gates: "projected" (alpha starts at 1, and is clipped to [0, 1]), "sigmoid" (the weight is the gates' logit and
        starts at 3) or "fixed" (alpha is 1 and not trained).
      score: "examples" or "class-mean".
      beta_initial: where the scales start (ledger 25).

    Raises ``ConfigError`` for unknown forms and, when called eagerly, ``DataError`` for labels out of range and for
    a class without support.
    """

    def __init__(self, ways, gates="projected", score="examples", beta_initial=10.0, **kwargs):
        super().__init__(**kwargs)
        MatchingHead(ways, 1, gates, score, beta_initial)  # complains about what it does not know
        self.ways, self.gates, self.score, self.beta_initial = ways, gates, score, beta_initial

    def build(self, input_shape):
        """Make alpha and beta for features of the queries' size."""
        size = input_shape[0][-1]
        self.head = MatchingHead(self.ways, size, self.gates, self.score, self.beta_initial)
        alpha, beta = self.head.initial()
        self.alpha = self.add_weight(
            "alpha", alpha.shape, initializer=lambda *_, **__: alpha, trainable=self.gates != "fixed",
            constraint=Gates() if self.gates == "projected" else None,
        )  # fmt: skip
        self.beta = self.add_weight("beta", beta.shape, initializer=lambda *_, **__: beta)
        super().build(input_shape)

    def call(self, inputs, leave_one_out=False):
        """Return log-probabilities float32 [q, N]; see the class."""
        queries, support, labels = inputs
        known = tf.get_static_value(labels)
        if known is not None:
            check_support(known, self.ways, f"support labels of layer {self.name}")
        labels = tf.cast(labels, tf.int32)
        allowed = others(labels) if leave_one_out else None
        return self.head.log_probabilities(self.alpha, self.beta, queries, support, labels, allowed)

    def compute_output_shape(self, input_shape):
        """Return [q, N]."""
        return (input_shape[0][0], self.ways)

    def get_config(self):
        """Return the arguments that make the layer again."""
        own = {name: getattr(self, name) for name in ("ways", "gates", "score", "beta_initial")}
        return {**super().get_config(), **own}


def matching_model(model, seed=0, **head):
    """Return a matching network as a ``tf.keras.Model`` of [queries, support, labels].

    Args:
      model: ``Conv4``; its embedding, kernels Glorot with ``seed``, is shared by queries and support.
      seed: int.
      head: arguments of ``GatedCosineAttention``.

    The inputs are float32 [q, H, W, C], float32 [n, H, W, C] and int32 [n], the output log-probabilities [q, N]. Call
    it directly: ``predict`` and ``fit`` want inputs of one length.
    """
    whole = model.keras_model(seed)
    embedding = tf.keras.Model(whole.inputs, whole.get_layer("features").output, name="embedding")
    queries = tf.keras.Input(model.image_shape, name="queries")
    support = tf.keras.Input(model.image_shape, name="support")
    labels = tf.keras.Input((), dtype=tf.int32, name="labels")
    attention = GatedCosineAttention(model.ways, **head, name="attention")
    answer = attention([embedding(queries), embedding(support), labels])
    return tf.keras.Model([queries, support, labels], answer, name="matching")


def weights_of(keras_model, head="softmax"):
    """Return the weights of a Keras model as the pure functions take them.

    ``head`` "softmax": the list of a ``Conv4.keras_model`` (what ``Laboratory.measure`` takes). "matching": of a
    ``matching_model``, (the embedding's list, alpha as stored [N, D], beta [N]).

    Raises ``ModelError`` where the model was not built with that head.
    """
    if head not in ("softmax", "matching"):
        raise ModelError(f"unknown head {head!r}: choose softmax or matching")
    attention = [layer for layer in keras_model.layers if isinstance(layer, GatedCosineAttention)]
    names = [layer.name for layer in keras_model.layers]
    if head == "matching" and attention and "embedding" in names:
        embedding = _explicit(keras_model.get_layer("embedding"))
        return embedding, attention[0].alpha.numpy(), attention[0].beta.numpy()
    if head == "softmax" and not attention and "logits" in names:
        return _explicit(keras_model)
    built = "matching_model(...)" if head == "matching" else "Conv4.keras_model()"
    raise ModelError(
        f"the model {keras_model.name} has no {head} head (its layers: {', '.join(names)}); build it with {built}"
    )


def _explicit(keras_model):
    """Return the weights without BatchNorm's moving statistics; also of layers that are frozen (as in phase 1)."""
    weights = [weight for layer in keras_model.layers for weight in layer.weights]
    return [weight.numpy() for weight in weights if "/moving_" not in weight.name]
