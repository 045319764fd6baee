"""Batch normalisation as a function: with a batch's own statistics, or with given ones (ledger 6, 7)."""

import tensorflow as tf

BATCH_NORM_EPSILON = 1e-3  # the default in Keras


def batch_norm(
    images: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, statistics: tuple[tf.Tensor, tf.Tensor] | None = None,
    epsilon: float = BATCH_NORM_EPSILON,
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:  # fmt: skip
    """Normalise each channel.

    Args:
        images: float32 [n, H, W, C].
        gamma: float32 [C], the scale.
        beta: float32 [C], the offset.
        statistics: Mean and biased variance, float32 [C] each; None for the batch's own.
        epsilon: What is added to the variance.

    Returns:
        Normalised images, and the (mean, variance) used.
    """
    normalise = tf.compat.v1.nn.fused_batch_norm
    if statistics is not None:
        mean, variance = statistics
        return normalise(images, gamma, beta, mean, variance, epsilon, is_training=False)[0], statistics
    images, mean, variance = normalise(images, gamma, beta, epsilon=epsilon, is_training=True)
    # The operation normalises with the biased variance but returns the unbiased one. A prediction needs the biased one.
    count = tf.cast(tf.reduce_prod(tf.shape(images)[:3]), tf.float32)
    return images, (mean, variance * ((count - 1.0) / count))
