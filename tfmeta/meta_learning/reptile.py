"""Reptile on one user's images (section 2, ledger 1 to 6): inner steps, meta steps, and a round's local training.

Weights and Adam's second moments are one vector each (see `models.flat`). The episodes of a meta-batch run at the same
time, so the cores share the episodes; `utils.threads` gives each operation one thread.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfmeta.config import Config
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import AdamState, adam_step, fresh_adam
from tfmeta.models.conv4 import Conv4
from tfmeta.models.flat import layout_of
from tfmeta.utils.seeds import fold


class Trained(NamedTuple):
    """What local training returns: weights as a list, Adam's state, and the mean loss of the last inner steps."""

    weights: list[tf.Tensor]
    adam: AdamState
    loss: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Reptile:
    """Reptile's fixed numbers (ledger 3, 5).

    Attributes:
        meta_batch_size: Episodes per meta step (B).
        inner_steps: Inner steps per episode (e).
        inner_batch_size: Images per inner step (b).
        inner_learning_rate: Adam's learning rate (eta).
        carry_adam: Whether Adam's state carries over from one meta-batch to the next.
    """

    meta_batch_size: int = 5
    inner_steps: int = 10
    inner_batch_size: int = 10
    inner_learning_rate: float = 0.001
    carry_adam: bool = True

    @classmethod
    def of(cls, config: Config, inner_steps: int) -> "Reptile":
        """Return the numbers of a configuration, with `inner_steps` inner steps per episode."""
        learning = config.meta_learning
        carry = learning.adam_state == "carry"
        return cls(
            learning.meta_batch_size, inner_steps, learning.inner_batch_size, learning.inner_learning_rate, carry
        )


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the mean cross-entropy of float32 [n, ways] logits and int32 [n] labels."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def inner_loop(
    model: Conv4,
    vector: tf.Tensor,
    adam: AdamState,
    images: tf.Tensor,
    labels: tf.Tensor,
    batches: tf.Tensor,
    learning_rate: float,
) -> tuple[tf.Tensor, AdamState, tf.Tensor]:
    """Train on one episode. Each batch is normalised by its own statistics (ledger 6).

    Args:
        model: The network.
        vector: float32 [weights].
        adam: Adam's state before the first step.
        images: uint8 [n, H, W, C].
        labels: int32 [n].
        batches: int32 [steps, b], the images of each step.
        learning_rate: Adam's learning rate.

    Returns:
        The new vector, Adam's state, and the loss of the last step.
    """
    layout = layout_of(model)

    def step(number, vector, moments, steps, _):
        batch = tf.gather(batches, number)
        inputs = episodes.to_float(tf.gather(images, batch))
        with tf.GradientTape() as tape:
            tape.watch(vector)
            logits, _ = model.logits(layout.unpack(vector), inputs)
            loss = cross_entropy(logits, tf.gather(labels, batch))
        vector, adam = adam_step(vector, tape.gradient(loss, vector), AdamState(moments, steps), learning_rate)
        return number + 1, vector, *adam, loss

    # parallel_iterations=1: each step needs the weights of the one before, and memory stays that of one step
    _, vector, moments, steps, loss = tf.while_loop(
        lambda number, *_: number < tf.shape(batches)[0],
        step,
        (0, vector, *adam, tf.zeros([])),
        parallel_iterations=1,
    )
    return vector, AdamState(moments, steps), loss


def local_training(
    model: Conv4,
    reptile: Reptile,
    sampler: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
    weights: list[tf.Tensor],
    adam: AdamState,
    meta_step_size: float | tf.Tensor,
    seed: tf.Tensor,
    first_episode: int | tf.Tensor,
    meta_batches: int | tf.Tensor,
) -> Trained:
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
    """
    layout = layout_of(model)

    def one_episode(vector, adam, number):
        drawn = fold(seed, number)
        images, labels = sampler(drawn)
        batches = episodes.batch_stream(drawn, images.shape[0], reptile.inner_steps, reptile.inner_batch_size)
        start = adam if reptile.carry_adam else fresh_adam(layout.size)
        vector, adam, loss = inner_loop(model, vector, start, images, labels, batches, reptile.inner_learning_rate)
        return vector, adam.moments, loss

    def meta_step(done, vector, moments, steps, _):
        adam = AdamState(moments, steps)
        numbers = first_episode + done * reptile.meta_batch_size + tf.range(reptile.meta_batch_size)
        # All episodes run at once. With only as many as there are cores, all would wait for the last one.
        vectors, moments, losses = tf.map_fn(
            lambda number: one_episode(vector, adam, number),
            numbers,
            fn_output_signature=(tf.float32, tf.float32, tf.float32),
            parallel_iterations=reptile.meta_batch_size,
        )
        vector += meta_step_size * (tf.reduce_mean(vectors, 0) - vector)
        steps += tf.cast(reptile.inner_steps, tf.float32)
        return done + 1, vector, tf.reduce_mean(moments, 0), steps, tf.reduce_mean(losses)

    _, vector, moments, steps, loss = tf.while_loop(
        lambda done, *_: done < meta_batches,
        meta_step,
        (0, layout.pack(weights), *adam, tf.zeros([])),
        parallel_iterations=1,
    )
    return Trained(layout.unpack(vector), AdamState(moments, steps), loss)
