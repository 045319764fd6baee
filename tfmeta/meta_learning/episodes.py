"""Episodes, drawn in the graph with stateless seeds (section 2).

An episode is N classes with K images each, labelled 0 to N-1 in the order drawn. Every function depends only on its
arguments, so it draws the same episode eagerly, in a `tf.function`, and in TFF's worker.
"""

import tensorflow as tf

from tfmeta.utils.seeds import fold

# What an episode's seed is folded with, so that its draws are independent of one another.
_CLASSES, _IMAGES, _BATCHES = 0, 1, 2


def draw_subset(seed: tf.Tensor, count: int | tf.Tensor, size: int) -> tf.Tensor:
    """Return int32 [size], distinct numbers below `count` in random order; `seed` is int32 [2]."""
    return tf.math.top_k(tf.random.stateless_uniform([count], seed), size).indices


def sample_episode(
    images: tf.Tensor, counts: tf.Tensor, seed: tf.Tensor, ways: int, shots: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw an N-way, K-shot episode.

    Args:
        images: uint8 [classes, capacity, H, W, C].
        counts: int32 [classes], the number of images of each class; places beyond it are never read.
        seed: int32 [2].
        ways: N, classes per episode.
        shots: K, images per class.

    Returns:
        Images uint8 [ways * shots, H, W, C] and labels int32 [ways * shots], class by class.
    """
    classes = draw_subset(fold(seed, _CLASSES), tf.shape(counts)[0], ways)
    chosen = _draw_images(tf.gather(counts, classes), images.shape[1], shots, fold(seed, _IMAGES))
    rows = tf.stack([tf.repeat(classes, shots), tf.reshape(chosen, [-1])], axis=1)
    return tf.gather_nd(images, rows), tf.repeat(tf.range(ways), shots)


def _draw_images(counts, capacity, shots, seed):
    """Return int32 [ways, shots]: for each class distinct numbers below its count."""
    scores = tf.random.stateless_uniform([tf.size(counts), capacity], seed)
    exists = tf.sequence_mask(counts, capacity)
    return tf.math.top_k(tf.where(exists, scores, -1.0), shots).indices


def batch_stream(seed: tf.Tensor, examples: int, steps: int | tf.Tensor, batch_size: int) -> tf.Tensor:
    """Return the mini-batches of supervised-reptile, as int32 [steps, batch_size] (ledger 4).

    The examples are shuffled again and again, and the stream is cut into full batches: a batch may begin in one pass
    and end in the next, so no batch is short and no example is dropped. `seed` is int32 [2].
    """
    passes = -(-steps * batch_size // examples)
    order = tf.argsort(tf.random.stateless_uniform([passes, examples], fold(seed, _BATCHES)), axis=1)
    return tf.reshape(tf.reshape(order, [-1])[: steps * batch_size], [steps, batch_size])


def to_float(images: tf.Tensor) -> tf.Tensor:
    """Return uint8 images as float32 in [0, 1]; on Omniglot ink is 1 (ledger 10)."""
    return tf.cast(images, tf.float32) / 255.0
