"""Adam with beta1 = 0 on one flat vector of weights (section 3, ledger 5)."""

from typing import NamedTuple

import tensorflow as tf

BETA2 = 0.999  # section 3; beta1 = 0, so the first moment is the gradient itself
EPSILON = 1e-7  # the default in Keras


class AdamState(NamedTuple):
    """Adam's state: second moments float32 [weights], and the number of steps taken, float32 scalar."""

    moments: tf.Tensor
    steps: tf.Tensor


def fresh_adam(size: int) -> AdamState:
    """Return the state before the first step, for `size` weights."""
    return AdamState(tf.zeros([size]), tf.zeros([]))


def adam_step(
    vector: tf.Tensor, gradient: tf.Tensor, state: AdamState, learning_rate: float | tf.Tensor
) -> tuple[tf.Tensor, AdamState]:
    """Take one step; return the new vector and state.

    `vector` and `gradient` are float32 [weights]; the learning rate is a number, or float32 [weights], one per weight.
    """
    steps = state.steps + 1.0
    moments = state.moments * BETA2 + tf.square(gradient) * (1.0 - BETA2)
    rate = learning_rate * tf.sqrt(1.0 - tf.pow(BETA2, steps))
    return vector - rate * gradient / (tf.sqrt(moments) + EPSILON), AdamState(moments, steps)
