"""Episodes, drawn in the graph from a uint8 bank with stateless seeds (section 2).

An *episode* is N classes with K pictures each, labelled 0 .. N-1 in the order drawn. Every function is a pure
function of (bank, seed): it gives the same episode eagerly, in a ``tf.function`` and in TFF's worker.
"""

import tensorflow as tf

from tfmeta.utils.seeds import fold

# What a seed is split for; fold_in keeps the draws of one episode independent of one another.
_CLASSES, _PICTURES, _BATCHES = 0, 1, 2


def draw_subset(seed, count, size):
    """Return int32 [size]: distinct numbers below ``count`` in random order (``count`` may be a tensor)."""
    return tf.math.top_k(tf.random.stateless_uniform([count], seed), size).indices


def draw_pictures(counts, capacity, size, seed):
    """Draw ``size`` distinct pictures of each class.

    Args:
      counts: int32 [ways], how many pictures each class has (at least ``size``).
      capacity: int, the bank's room for pictures of a class.
      size: int, how many to draw.
      seed: int32 [2].

    Returns:
      int32 [ways, size], each row distinct numbers below its class's count.
    """
    scores = tf.random.stateless_uniform([tf.size(counts), capacity], seed)
    there = tf.sequence_mask(counts, capacity)
    return tf.math.top_k(tf.where(there, scores, -1.0), size).indices


def sample_episode(images, counts, seed, ways, shots):
    """Draw an N-way, K-shot episode.

    Args:
      images: uint8 [classes, capacity, H, W, C].
      counts: int32 [classes], pictures of each class; the rest of ``capacity`` is never read.
      seed: int32 [2].
      ways, shots: N and K.

    Returns:
      uint8 [ways * shots, H, W, C] and int32 [ways * shots] labels, class by class.
    """
    classes = draw_subset(fold(seed, _CLASSES), tf.shape(counts)[0], ways)
    chosen = draw_pictures(tf.gather(counts, classes), images.shape[1], shots, fold(seed, _PICTURES))
    rows = tf.stack([tf.repeat(classes, shots), tf.reshape(chosen, [-1])], axis=1)
    return tf.gather_nd(images, rows), tf.repeat(tf.range(ways), shots)


def batch_stream(seed, examples, steps, batch):
    """Return int32 [steps, batch]: supervised-reptile's stream of mini-batches (ledger 4).

    The examples are shuffled again and again and cut into full batches across the seams: no batch is short,
    none is dropped. ``examples`` and ``batch`` are ints; ``steps`` may be a tensor.
    """
    passes = -(-steps * batch // examples)
    order = tf.argsort(tf.random.stateless_uniform([passes, examples], fold(seed, _BATCHES)), axis=1)
    return tf.reshape(tf.reshape(order, [-1])[: steps * batch], [steps, batch])


def to_float(images):
    """Return float32 pictures in [0, 1] (ink = 1 on Omniglot, ledger 10) from uint8."""
    return tf.cast(images, tf.float32) / 255.0
