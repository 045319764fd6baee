"""Reptile on one user's bank (section 2, ledger 1 to 6): inner steps, the meta-batch, a round's local training.

All functions are plain TensorFlow on explicit weights. Weights and Adam's second moments travel as one vector
each (``flat.py``). The episodes of a meta-batch run side by side: give each operation one thread
(``tfmeta.utils.threads``), and the cores share the episodes.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from tfmeta.config import Config
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import AdamState, adam_step, fresh_adam
from tfmeta.models.flat import layout_of
from tfmeta.utils import seeds


class Trained(NamedTuple):
    """What local training returns: weights as a list, Adam's state, mean loss of the last inner steps."""

    weights: list
    adam: AdamState
    loss: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Reptile:
    """Reptile's fixed numbers: B, e, b, eta, and what happens to Adam's state (ledger 3, 5)."""

    meta_batch_size: int = 5
    inner_steps: int = 10
    inner_batch_size: int = 10
    inner_learning_rate: float = 0.001
    carry_adam: bool = True

    @classmethod
    def of(cls, config: Config, inner_steps: int) -> "Reptile":
        """Return the numbers of a configuration, with `inner_steps` inner steps per episode."""
        learning = config.meta_learning
        return cls(
            learning.meta_batch_size, inner_steps, learning.inner_batch_size, learning.inner_learning_rate,
            learning.adam_state == "carry",
        )  # fmt: skip


def cross_entropy(model, weights, images, labels):
    """Return the mean cross-entropy of float pictures, normalised by their own batch (ledger 6)."""
    logits, _ = model.logits(weights, images)
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))


def inner_loop(model, vector, adam, images, labels, batches, eta):
    """Train on one episode.

    Args:
      model: ``Conv4``.
      vector: float32 [weights].
      adam: ``AdamState``.
      images, labels: the episode, uint8 [n, H, W, C] and int32 [n].
      batches: int32 [steps, b], which pictures each step takes.
      eta: learning rate.

    Returns:
      the new vector and ``AdamState``, and the last step's loss.
    """
    layout = layout_of(model)

    def step(number, vector, moments, steps, _):
        batch = tf.gather(batches, number)
        pictures = episodes.to_float(tf.gather(images, batch))
        with tf.GradientTape() as tape:
            tape.watch(vector)
            loss = cross_entropy(model, layout.unpack(vector), pictures, tf.gather(labels, batch))
        vector, adam = adam_step(vector, tape.gradient(loss, vector), AdamState(moments, steps), eta)
        return number + 1, vector, adam.moments, adam.steps, loss

    # parallel_iterations=1: each step needs the last one's weights, and memory stays that of one step
    _, vector, moments, steps, loss = tf.while_loop(
        lambda number, *_: number < tf.shape(batches)[0],
        step,
        (0, vector, adam.moments, adam.steps, tf.zeros([])),
        parallel_iterations=1,
    )
    return vector, AdamState(moments, steps), loss


def local_training(model, reptile, sampler, weights, adam, epsilon, seed, first, count):
    """Run ``count`` outer steps (meta-batches) of Reptile, all in the graph.

    Args:
      model: ``Conv4``.
      reptile: ``Reptile``.
      sampler: function of a seed that returns an episode: uint8 [n, H, W, C], int32 [n].
      weights: list of tensors, theta.
      adam: ``AdamState`` to begin with.
      epsilon: float32 scalar, the outer step.
      seed: int32 [2]; episode i is drawn with ``fold(seed, i)``.
      first: int32, number of the first episode; training in chunks equals training in one go.
      count: int32, how many meta-batches.

    Returns:
      ``Trained``.
    """
    layout = layout_of(model)

    def one_episode(vector, adam, number):
        drawn = seeds.fold(seed, number)
        images, labels = sampler(drawn)
        batches = episodes.batch_stream(drawn, images.shape[0], reptile.inner_steps, reptile.inner_batch_size)
        start = adam if reptile.carry_adam else fresh_adam(layout.size)
        vector, adam, loss = inner_loop(model, vector, start, images, labels, batches, reptile.inner_learning_rate)
        return vector, adam.moments, loss

    def outer_step(done, vector, moments, steps, _):
        adam = AdamState(moments, steps)
        numbers = first + done * reptile.meta_batch_size + tf.range(reptile.meta_batch_size)
        # all episodes at once: the cores take turns at whichever has an operation ready, so none waits
        # for the odd one out, as it would with as many episodes as cores
        vectors, moments, losses = tf.map_fn(
            lambda number: one_episode(vector, adam, number),
            numbers,
            fn_output_signature=(tf.float32, tf.float32, tf.float32),
            parallel_iterations=reptile.meta_batch_size,
        )
        vector += epsilon * (tf.reduce_mean(vectors, 0) - vector)
        steps += tf.cast(reptile.inner_steps, tf.float32)
        return done + 1, vector, tf.reduce_mean(moments, 0), steps, tf.reduce_mean(losses)

    _, vector, moments, steps, loss = tf.while_loop(
        lambda done, *_: done < count,
        outer_step,
        (0, layout.pack(weights), adam.moments, adam.steps, tf.zeros([])),
        parallel_iterations=1,
    )
    return Trained(layout.unpack(vector), AdamState(moments, steps), loss)
