"""No defence: plain supervised fine-tuning on the support set (section 3, experiment 2)."""

from collections.abc import Sequence

import tensorflow as tf

from tfmeta.config import Config
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import AdamState, fresh_adam
from tfmeta.meta_learning.adaptation import flatten, moved, paired, predict, trajectory
from tfmeta.meta_learning.reptile import supervised_step
from tfmeta.models.conv4 import Conv4
from tfmeta.models.flat import layout_of

HEAD = "softmax"


def adapt(
    model: Conv4, config: Config, weights: list[tf.Tensor], support: tf.Tensor, labels: tf.Tensor,
    query_groups: Sequence[tf.Tensor], seed: tf.Tensor, points: Sequence[int],
) -> tf.Tensor:  # fmt: skip
    """Fine-tune by supervised learning, and predict at the iterations `points`.

    Every task starts with a fresh Adam (ledger 5). Mini-batches are supervised-reptile's stream (ledger 4).

    Args:
        model: The network.
        config: Reads inner_learning_rate, inner_batch_size and batch_norm_statistics.
        weights: The model's weights to start from.
        support: uint8 [n, H, W, C].
        labels: int32 [n].
        query_groups: uint8 [q, H, W, C] each; groups matter only where queries are normalised together.
        seed: int32 [2].
        points: Ascending iterations; 0 is the model before its first step.

    Returns:
        int32 [len(points), sum of q]: predicted labels, one group after the other.
    """
    layout, learning = layout_of(model), config.meta_learning
    images = episodes.to_float(support)
    queries = [episodes.to_float(group) for group in query_groups]
    batches = episodes.batch_stream(seed, support.shape[0], points[-1], learning.inner_batch_size)

    def step(number, vector, moments, steps, *moving):
        batch = tf.gather(batches, number)
        inputs, wanted, adam = tf.gather(images, batch), tf.gather(labels, batch), AdamState(moments, steps)
        vector, adam, _, seen = supervised_step(model, vector, adam, inputs, wanted, learning.inner_learning_rate)
        return vector, *adam, *moved(moving, seen)

    def predict_all(vector, moments, steps, *moving):
        del moments, steps
        return predict(model, config, layout.unpack(vector), images, queries, paired(moving))

    moving = ()
    if config.evaluation.batch_norm_statistics == "moving":  # they start as those of the support set
        moving = flatten(model.features(weights, images)[1])
    state = (layout.pack(weights), *fresh_adam(layout.size), *moving)
    return trajectory(step, predict_all, state, points)[0]
