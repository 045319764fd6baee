"""The matching head: gated, scaled cosine attention over a support set (section 4, ledger 23 to 26).

The class of a query is read off the support examples that it resembles:

    a(q, x_i) = softmax_i  beta_l c(alpha_l * f(q), f(x_i)),   l the class of x_i
    P(l | q)  = sum of a(q, x_i) over the x_i of class l

with the gates alpha (N x D, in [0, 1]) on the query's features and the scales beta (N). ``MatchingHead`` is the
pure form on explicit alpha and beta; ``tfmeta.models.keras_layers`` has the Keras layer, which calls it.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from tfmeta.errors import ConfigError, DataError

# Below this squared length a feature vector points nowhere, and its cosines are 0: with all of a unit's features dead,
# or all gates of a class shut, losses and gradients stay finite.
_SHORTEST = 1e-8
_EXCLUDED = -1e9  # a score that no support example has; finite, so that differences of two are no NaN
# A sigmoid reaches 1 nowhere. 3 opens the gates to 0.95 and leaves them a gradient (ledger 24's alternative).
SIGMOID_START = 3.0


@dataclasses.dataclass(frozen=True)
class MatchingHead:
    """The head's shape and form.

    ``ways``: N. ``size``: D, length of the features. ``gates``: "projected" (alpha is stored, and clipped to [0, 1]
    after each step), "sigmoid" (what is stored is the gates' logit) or "fixed" (alpha stays 1). ``score``: "examples"
    (the formula above) or "class-mean" (softmax over each class's beta times its mean cosine).
    """

    ways: int
    size: int
    gates: str = "projected"
    score: str = "examples"
    beta_initial: float = 10.0

    def __post_init__(self):
        for name, choices in (("gates", ("projected", "sigmoid", "fixed")), ("score", ("examples", "class-mean"))):
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name} = {getattr(self, name)!r}: choose one of {', '.join(choices)}")

    @classmethod
    def of(cls, model, config):
        """Return the head for a ``Conv4`` that a ``Config`` asks for."""
        return cls(model.ways, model.feature_size, config.defence.gates, config.defence.score, config.defence.beta_initial)

    def initial(self):
        """Return the initial (alpha as stored float32 [N, D], beta float32 [N]): gates open, scales alike."""
        start = SIGMOID_START if self.gates == "sigmoid" else 1.0
        return tf.fill([self.ways, self.size], start), tf.fill([self.ways], float(self.beta_initial))

    def projected(self, alpha):
        """Return the stored alpha as it has to be after a step: in [0, 1] where it is the gates themselves."""
        return tf.clip_by_value(alpha, 0.0, 1.0) if self.gates == "projected" else alpha

    def gate(self, alpha):
        """Return the gates, float32 [N, D] in [0, 1], from what is stored."""
        if self.gates == "sigmoid":
            return tf.sigmoid(alpha)
        return tf.ones_like(alpha) if self.gates == "fixed" else alpha

    def log_probabilities(self, alpha, beta, queries, support, labels, allowed=None):
        """Return log P(l | q), float32 [q, N].

        Args:
          alpha, beta: as ``initial`` makes them.
          queries: float32 [q, D], f(q).
          support: float32 [n, D], f(x_i).
          labels: int32 [n], each class of 0 .. N-1 at least once (a class without examples has no probability).
          allowed: bool [q, n], which support examples a query may look at; default all.
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
        # in logarithms: with scales of 1000 the probability of all but one class is 0 in float32, and its log is not
        return tf.reduce_logsumexp(tf.where(members, attention[:, None], _EXCLUDED), 2)

    def _cosines(self, gates, queries, support, labels):
        """Return c(alpha_l * f(q), f(x_i)), float32 [q, n], without the [q, N, D] of all gated queries."""
        toward = tf.gather(gates, labels) * _directions(support)
        lengths = tf.matmul(tf.square(queries), tf.square(gates), transpose_b=True)  # squared, [q, N]
        inverse = tf.gather(tf.math.rsqrt(tf.maximum(lengths, _SHORTEST)), labels, axis=1)
        return tf.matmul(queries, toward, transpose_b=True) * inverse


def _directions(features):
    lengths = tf.reduce_sum(tf.square(features), 1, keepdims=True)
    return features * tf.math.rsqrt(tf.maximum(lengths, _SHORTEST))


def others(labels):
    """Return bool [n, n]: each support example against the others (leave-one-out, ledger 26).

    A class's only example is left in: with one shot nothing is excluded.
    """
    same = labels[:, None] == labels
    alone = tf.reduce_sum(tf.cast(same, tf.int32), 1) == 1
    return ~tf.eye(tf.size(labels), dtype=tf.bool) | alone[:, None]


def split(labels, scores, number):
    """Choose queries of each class at random: bool [n], True for the ``number`` of lowest ``scores`` float32 [n]."""
    same = labels[:, None] == labels
    ranks = tf.argsort(tf.argsort(scores))  # no two alike: equal scores would choose more, up to a class's last support
    before = same & (ranks < ranks[:, None])
    return tf.reduce_sum(tf.cast(before, tf.int32), 1) < number


def check_support(labels, ways, where="the support set"):
    """Raise ``DataError`` naming ``where`` if labels are out of range, or a class has no example.

    ``labels``: int array [n] (or [tasks, n]).
    """
    for number, row in enumerate(np.atleast_2d(np.asarray(labels))):
        task = where if np.ndim(labels) == 1 else f"{where}, task {number}"
        wrong = sorted({int(label) for label in row if not 0 <= label < ways})
        if wrong:
            raise DataError(f"{task}: labels {wrong}, but with {ways} ways they must be 0 to {ways - 1}")
        missing = sorted(set(range(ways)) - {int(label) for label in row})
        if missing:
            raise DataError(f"{task}: no support example of class {missing}; each of the {ways} needs one")
