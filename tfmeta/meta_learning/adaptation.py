"""Adapting a model to a task: a sequence of steps, with predictions at chosen iterations (section 3, experiment 2).

Defences are built from these parts.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfmeta.config import Config
from tfmeta.models.base import PureModel, Statistics

MOVING_MOMENTUM = 0.9  # per step, of the "moving" statistics (ledger 7); small, since a task has only tens of steps


class AdaptationSettings(NamedTuple):
    """The settings of an adaptation that all defences share."""

    inner_learning_rate: float  # Adam's (eta)
    inner_batch_size: int  # images per step (b)
    batch_norm_statistics: str  # of a prediction: "support", "queries" or "moving" (ledger 7)

    @classmethod
    def of(cls, config: Config) -> "AdaptationSettings":
        """Return the settings of a configuration."""
        learning = config.meta_learning
        return cls(learning.inner_learning_rate, learning.inner_batch_size, config.evaluation.batch_norm_statistics)


def trajectory(
    step: Callable[..., tuple], predict_all: Callable[..., tf.Tensor], state: tuple, points: Sequence[int],
    start: int = 0,
) -> tuple[tf.Tensor, tuple]:  # fmt: skip
    """Take steps, and predict all queries at chosen iterations.

    Args:
        step: Function of (int32 step number, *state) that returns the next state.
        predict_all: Function of (*state) that returns class probabilities, float32 [queries, ways].
        state: Tuple of tensors, before step number `start`.
        points: Ascending iterations, at least one, none below `start`.
        start: Number of the first step.

    Returns:
        float32 [len(points), queries, ways], and the state at the last point.
    """

    def segment(index, number, answers, *state):
        # parallel_iterations=1: each step needs the weights of the one before, and memory stays that of one step
        number, *state = tf.while_loop(
            lambda number, *_: number < tf.constant(points)[index],
            lambda number, *state: (number + 1, *step(number, *state)), (number, *state), parallel_iterations=1,
        )  # fmt: skip
        return index + 1, number, answers.write(index, predict_all(*state)), *state

    state = (0, start, tf.TensorArray(tf.float32, len(points), infer_shape=True), *state)
    _, _, answers, *state = tf.while_loop(
        lambda index, *_: index < len(points), segment, state, parallel_iterations=1
    )
    return answers.stack(), tuple(state)


def predict(
    model: PureModel, settings: AdaptationSettings, weights: list[tf.Tensor], support: tf.Tensor,
    queries: Sequence[tf.Tensor], moving: Statistics | None = None,
) -> tf.Tensor:  # fmt: skip
    """Return the class probabilities of each query, float32 [sum of q, ways].

    Args:
        model: The network.
        settings: Reads batch_norm_statistics (ledger 7). With "queries" each group of queries is normalised together
            (transductive); else the answer to a query does not depend on the other queries.
        weights: The model's weights.
        support: float32 [n, H, W, C].
        queries: Groups of float32 [q, H, W, C].
        moving: The statistics to use with "moving".
    """
    statistics = settings.batch_norm_statistics
    if statistics == "queries":
        return tf.concat([tf.nn.softmax(model.logits(weights, group)[0]) for group in queries], 0)
    used = moving if statistics == "moving" else model.features(weights, support)[1]
    return tf.nn.softmax(model.logits(weights, tf.concat(queries, 0), used)[0])


def moved(moving: Sequence[tf.Tensor], seen: Statistics) -> list[tf.Tensor]:
    """Return moving statistics, as a flat list, after a batch with the statistics `seen`; an empty list stays empty."""
    return [old + (1 - MOVING_MOMENTUM) * (new - old) for old, new in zip(moving, flatten(seen), strict=False)]


def flatten(statistics: Statistics) -> list[tf.Tensor]:
    """Return the means and variances of all modules as one list."""
    return [part for pair in statistics for part in pair]


def paired(parts: Sequence[tf.Tensor]) -> Statistics | None:
    """Undo `flatten`; return None for an empty list."""
    return [tuple(parts[place : place + 2]) for place in range(0, len(parts), 2)] if parts else None
