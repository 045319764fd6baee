"""Reptile on one user's images (section 2, ledger 1 to 6): inner steps, meta steps, and a round's local training.

Weights and Adam's second moments are one vector each (see `models.flat`). The cores share the episodes of a meta-batch.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfmeta.config import Config
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import AdamState, adam_step, fresh_adam
from tfmeta.models.base import PureModel, Statistics
from tfmeta.models.flat import layout_of
from tfmeta.utils.seeds import fold

# (vector, adam, images, labels, learning_rate, number of the step, the episode's seed) -> (vector, adam, loss)
InnerStep = Callable[..., tuple[tf.Tensor, AdamState, tf.Tensor]]


class Trained(NamedTuple):
    """What local training returns: weights as a list, Adam's state, and the mean loss of the last inner steps."""

    weights: list[tf.Tensor]
    adam: AdamState
    loss: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Reptile:
    """Reptile's fixed numbers (ledger 3, 5)."""

    meta_batch_size: int = 5  # episodes per meta step (B)
    inner_steps: int = 10  # per episode (e)
    inner_batch_size: int = 10  # images per inner step (b)
    inner_learning_rate: float = 0.001  # Adam's (eta)
    carry_adam: bool = True  # from one meta-batch to the next, or start with a fresh state

    @classmethod
    def of(cls, config: Config, inner_steps: int) -> "Reptile":
        """Return the numbers of a configuration, with `inner_steps` inner steps per episode."""
        own, carry = config.meta_learning, config.meta_learning.adam_state == "carry"
        return cls(own.meta_batch_size, inner_steps, own.inner_batch_size, own.inner_learning_rate, carry)


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the mean cross-entropy of float32 [b, ways] and int32 [b], a float32 scalar."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def supervised_step(
    model: PureModel, vector: tf.Tensor, adam: AdamState, images: tf.Tensor, labels: tf.Tensor, learning_rate: float
) -> tuple[tf.Tensor, AdamState, tf.Tensor, Statistics]:
    """Take a step of Adam on the mean cross-entropy of a batch, normalised by its own statistics (ledger 6).

    Args:
        model: The network.
        vector: Its weights, float32 [weights].
        adam: Adam's state.
        images: float32 [b, H, W, C] in [0, 1].
        labels: int32 [b].
        learning_rate: Adam's.

    Returns:
        The new vector and state, the loss before the step, and the batch's statistics.
    """
    with tf.GradientTape() as tape:
        tape.watch(vector)
        logits, seen = model.logits(layout_of(model).unpack(vector), images)
        loss = cross_entropy(logits, labels)
    return *adam_step(vector, tape.gradient(loss, vector), adam, learning_rate), loss, seen


def inner_loop(
    model: PureModel, vector: tf.Tensor, adam: AdamState, images: tf.Tensor, labels: tf.Tensor, batches: tf.Tensor,
    learning_rate: float, take: InnerStep | None = None, seed: tf.Tensor | None = None,
) -> tuple[tf.Tensor, AdamState, tf.Tensor]:  # fmt: skip
    """Train on one episode: images uint8 [n, H, W, C] and labels int32 [n], taken in batches int32 [steps, b].

    Other arguments as in `supervised_step`; `take` is an inner step to use instead of it, and `seed` the episode's.
    Returns the new vector and state, and the loss of the last step.
    """

    def step(number, vector, moments, steps, _):
        batch = tf.gather(batches, number)
        inputs, wanted = episodes.to_float(tf.gather(images, batch)), tf.gather(labels, batch)
        adam = AdamState(moments, steps)
        if take is None:
            vector, adam, loss, _ = supervised_step(model, vector, adam, inputs, wanted, learning_rate)
        else:
            vector, adam, loss = take(vector, adam, inputs, wanted, learning_rate, number, seed)
        return number + 1, vector, *adam, loss

    count, start = tf.shape(batches)[0], (0, vector, *adam, tf.zeros([]))
    # parallel_iterations=1: each step needs the weights of the one before, and memory stays that of one step
    _, vector, *adam, loss = tf.while_loop(lambda number, *_: number < count, step, start, parallel_iterations=1)
    return vector, AdamState(*adam), loss


def local_training(
    model: PureModel, reptile: Reptile, sampler: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    weights: list[tf.Tensor], adam: AdamState, meta_step_size: float | tf.Tensor, seed: tf.Tensor,
    first_episode: int | tf.Tensor, meta_batches: int | tf.Tensor, take: InnerStep | None = None,
) -> Trained:  # fmt: skip
    """Take meta steps, all in the graph.

    Args:
        model: The network.
        reptile: Reptile's numbers.
        sampler: Function of an int32 [2] seed that returns an episode: uint8 [n, H, W, C] and int32 [n].
        weights: The weights to start from (theta).
        adam: Adam's state to start from.
        meta_step_size: How far a meta step goes (epsilon).
        seed: int32 [2]; episode i is drawn with `fold(seed, i)`.
        first_episode: Number of the first episode; training in chunks equals one long training.
        meta_batches: Number of meta steps.
        take: An inner step to use instead of `supervised_step`; an attack has its own.
    """
    layout = layout_of(model)

    def one_episode(vector, adam, number):
        drawn = fold(seed, number)
        images, labels = sampler(drawn)
        batches = episodes.batch_stream(drawn, images.shape[0], reptile.inner_steps, reptile.inner_batch_size)
        start = adam if reptile.carry_adam else fresh_adam(layout.size)
        rate = reptile.inner_learning_rate
        vector, adam, loss = inner_loop(model, vector, start, images, labels, batches, rate, take, drawn)
        return vector, adam.moments, loss

    def meta_step(done, vector, moments, steps, _):
        adam, size = AdamState(moments, steps), reptile.meta_batch_size
        numbers = first_episode + done * size + tf.range(size)
        # All episodes run at once. With only as many as there are cores, all would wait for the last one.
        vectors, moments, losses = tf.map_fn(
            lambda number: one_episode(vector, adam, number), numbers, parallel_iterations=size,
            fn_output_signature=(tf.float32, tf.float32, tf.float32),
        )  # fmt: skip
        vector += meta_step_size * (tf.reduce_mean(vectors, 0) - vector)
        steps += tf.cast(reptile.inner_steps, tf.float32)
        return done + 1, vector, tf.reduce_mean(moments, 0), steps, tf.reduce_mean(losses)

    state = (0, layout.pack(weights), *adam, tf.zeros([]))
    _, vector, *adam, loss = tf.while_loop(lambda i, *_: i < meta_batches, meta_step, state, parallel_iterations=1)
    return Trained(layout.unpack(vector), AdamState(*adam), loss)
