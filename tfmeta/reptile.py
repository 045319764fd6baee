"""Reptile on one user's bank (section 2, ledger 1 to 6): inner steps, the meta-batch, a round's local training.

All functions are plain TensorFlow on explicit weights. Weights and Adam's second moments travel as one vector
each (``flat.py``). The episodes of a meta-batch run side by side: give each operation one thread
(``tfmeta.threads``), and the cores share the episodes.
"""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from tfmeta import episodes
from tfmeta.flat import layout_of

ADAM_BETA2 = 0.999  # section 3; beta1 = 0, so the first moment is the gradient itself
ADAM_EPSILON = 1e-7  # Keras' default


class AdamState(NamedTuple):
    """Inner Adam's state: second moments float32 [weights] and number of steps taken, float32 scalar."""

    moments: tf.Tensor
    steps: tf.Tensor


class Trained(NamedTuple):
    """What local training returns: weights as a list, Adam's state, mean loss of the last inner steps."""

    weights: list
    adam: AdamState
    loss: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Reptile:
    """Reptile's fixed numbers: B, e, b, eta, and what happens to Adam's state (ledger 3, 5)."""

    meta_batch: int = 5
    inner_steps: int = 10
    inner_batch: int = 10
    eta: float = 0.001
    carry_adam: bool = True


def fresh_adam(size):
    """Return Adam's state before its first step, for ``size`` weights."""
    return AdamState(tf.zeros([size]), tf.zeros([]))


def adam_step(vector, gradient, state, eta):
    """Take one step of Adam with beta1 = 0; returns the new vector and state."""
    steps = state.steps + 1.0
    moments = state.moments * ADAM_BETA2 + tf.square(gradient) * (1.0 - ADAM_BETA2)
    rate = eta * tf.sqrt(1.0 - tf.pow(ADAM_BETA2, steps))
    return vector - rate * gradient / (tf.sqrt(moments) + ADAM_EPSILON), AdamState(moments, steps)


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
        drawn = episodes.fold(seed, number)
        images, labels = sampler(drawn)
        batches = episodes.batch_stream(drawn, images.shape[0], reptile.inner_steps, reptile.inner_batch)
        start = adam if reptile.carry_adam else fresh_adam(layout.size)
        vector, adam, loss = inner_loop(model, vector, start, images, labels, batches, reptile.eta)
        return vector, adam.moments, loss

    def outer_step(done, vector, moments, steps, _):
        adam = AdamState(moments, steps)
        numbers = first + done * reptile.meta_batch + tf.range(reptile.meta_batch)
        # all episodes at once: the cores take turns at whichever has an operation ready, so none waits
        # for the odd one out, as it would with as many episodes as cores
        vectors, moments, losses = tf.map_fn(
            lambda number: one_episode(vector, adam, number),
            numbers,
            fn_output_signature=(tf.float32, tf.float32, tf.float32),
            parallel_iterations=reptile.meta_batch,
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
