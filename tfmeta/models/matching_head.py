"""The matching head: gated, scaled cosine attention over a support set (section 4, ledger 23 to 26).

A query's class is read from the support examples that it resembles:

    a(q, x_i) = softmax_i  beta_l c(alpha_l * f(q), f(x_i)),   l the class of x_i
    P(l | q)  = sum of a(q, x_i) over the x_i of class l

Here c is the cosine, the gates alpha (N x D, in [0, 1]) weight the query's features, and beta (N) are scales.
`MatchingHead` is a function of explicit alpha and beta; `models.keras_layers` has the Keras layer, which calls it.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tfmeta.config import fields
from tfmeta.config.fields import checked
from tfmeta.errors import DataError

# Shorter (squared) feature vectors have cosines near 0, so losses and gradients stay finite where all features are 0.
_SHORTEST = 1e-8
_EXCLUDED = -1e9  # score of a support example that a query may not use; finite, so that differences are never NaN
# A sigmoid never reaches 1. A logit of 3 opens the gates to 0.95 and still has a gradient (ledger 24's alternative).
SIGMOID_START = 3.0


@dataclasses.dataclass(frozen=True)
class MatchingHead:
    """The head's shape and form.

    The gates are "projected" (alpha is stored, and clipped to [0, 1] after each step), "sigmoid" (the gates' logit is
    stored) or "fixed" (alpha stays 1). The score is of "examples" (the formula above) or "class-mean" (softmax over
    each class's beta times its mean cosine).

    Raises:
        ConfigError: the form of the gates or the score is unknown.
    """

    ways: int  # N
    size: int  # D, the length of the features
    gates: str = "projected"
    score: str = "examples"
    beta_initial: float = 10.0

    def __post_init__(self):
        for name in ("gates", "score"):
            checked(name, fields()[f"defence.{name}"], getattr(self, name))

    def initial(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the initial alpha as stored, float32 [N, D], and beta, float32 [N]: open gates and equal scales."""
        start = SIGMOID_START if self.gates == "sigmoid" else 1.0
        return tf.fill([self.ways, self.size], start), tf.fill([self.ways], float(self.beta_initial))

    def projected(self, alpha: tf.Tensor) -> tf.Tensor:
        """Return the stored alpha after a step: clipped to [0, 1] where it is the gates themselves."""
        return tf.clip_by_value(alpha, 0.0, 1.0) if self.gates == "projected" else alpha

    def gate(self, alpha: tf.Tensor) -> tf.Tensor:
        """Return the gates, float32 [N, D] in [0, 1], from the stored alpha."""
        if self.gates == "sigmoid":
            return tf.sigmoid(alpha)
        return tf.ones_like(alpha) if self.gates == "fixed" else alpha

    def log_probabilities(
        self, alpha: tf.Tensor, beta: tf.Tensor, queries: tf.Tensor, support: tf.Tensor, labels: tf.Tensor,
        allowed: tf.Tensor | None = None,
    ) -> tf.Tensor:  # fmt: skip
        """Return log P(l | q), float32 [q, N].

        Args:
            alpha: float32 [N, D], as stored.
            beta: float32 [N].
            queries: float32 [q, D], f(q).
            support: float32 [n, D], f(x_i).
            labels: int32 [n], with each class of 0 to N-1 at least once; a class without examples has probability 0.
            allowed: bool [q, n], the support examples that a query may use; by default all.
        """
        cosines = self._cosines(self.gate(alpha), queries, support, labels)
        seen = tf.ones_like(cosines, tf.bool) if allowed is None else allowed
        members = tf.transpose(tf.one_hot(labels, self.ways, True, False, dtype=tf.bool))  # [N, n]
        if self.score == "class-mean":
            weight = tf.cast(seen[:, None] & members, tf.float32)  # [q, N, n]
            count = tf.reduce_sum(weight, 2)
            means = tf.reduce_sum(weight * cosines[:, None], 2) / tf.maximum(count, 1.0)
            return tf.nn.log_softmax(tf.where(count > 0, beta * means, _EXCLUDED))
        attention = tf.nn.log_softmax(tf.where(seen, tf.gather(beta, labels) * cosines, _EXCLUDED))
        # In logarithms: with scales of 1000, a probability may be 0 in float32 while its logarithm is finite.
        return tf.reduce_logsumexp(tf.where(members, attention[:, None], _EXCLUDED), 2)

    def _cosines(self, gates, queries, support, labels):
        """Return c(alpha_l * f(q), f(x_i)), float32 [q, n], without a [q, N, D] tensor of all gated queries."""
        toward = tf.gather(gates, labels) * _directions(support)
        lengths = tf.matmul(tf.square(queries), tf.square(gates), transpose_b=True)  # squared, [q, N]
        inverse = tf.gather(tf.math.rsqrt(tf.maximum(lengths, _SHORTEST)), labels, axis=1)
        return tf.matmul(queries, toward, transpose_b=True) * inverse


def _directions(features):
    lengths = tf.reduce_sum(tf.square(features), 1, keepdims=True)
    return features * tf.math.rsqrt(tf.maximum(lengths, _SHORTEST))


def others(labels: tf.Tensor) -> tf.Tensor:
    """Return bool [n, n] from labels int32 [n]: each support example may use all but itself (leave-one-out, ledger 26).

    A class's only example may use itself, so with one shot nothing is excluded.
    """
    same = labels[:, None] == labels
    alone = tf.reduce_sum(tf.cast(same, tf.int32), 1) == 1
    return ~tf.eye(tf.size(labels), dtype=tf.bool) | alone[:, None]


def split(labels: tf.Tensor, scores: tf.Tensor, number: int) -> tf.Tensor:
    """Return bool [n], True for the `number` examples of each class with the lowest scores: random queries.

    `labels` is int32 [n], and `scores` random float32 [n].
    """
    same = labels[:, None] == labels
    # Ranks differ even where scores are equal. Equal scores could select all examples of a class and leave no support.
    ranks = tf.argsort(tf.argsort(scores))
    before = same & (ranks < ranks[:, None])
    return tf.reduce_sum(tf.cast(before, tf.int32), 1) < number


def check_support(labels: np.ndarray, ways: int, where: str = "the support set") -> None:
    """Raise `DataError`, which names `where`, unless int [n] or [tasks, n] labels are in range and miss no class."""
    for number, row in enumerate(np.atleast_2d(np.asarray(labels))):
        task = where if np.ndim(labels) == 1 else f"{where}, task {number}"
        present = {int(label) for label in row}
        wrong = sorted(present - set(range(ways)))
        if wrong:
            raise DataError(f"{task}: labels {wrong}, but with {ways} ways they must be 0 to {ways - 1}")
        missing = sorted(set(range(ways)) - present)
        if missing:
            raise DataError(f"{task}: no support example of class {missing}; each of the {ways} needs one")
