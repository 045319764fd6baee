"""No defence: plain supervised fine-tuning on the support set (section 3, experiment 2)."""

import tensorflow as tf

from tfmeta.defences.base import Defence
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import AdamState, fresh_adam
from tfmeta.meta_learning.adaptation import flatten, moved, paired, predict, trajectory
from tfmeta.meta_learning.reptile import supervised_step
from tfmeta.models.flat import layout_of


class FineTuning(Defence):
    """Supervised fine-tuning: every step is Adam's on the cross-entropy of a mini-batch of the support set.

    Every task starts with a fresh Adam (ledger 5). Mini-batches are supervised-reptile's stream (ledger 4).
    """

    def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):
        """Fine-tune, and return class probabilities; see `Defence.adapt`."""
        layout, rate = layout_of(model), evaluation.inner_learning_rate
        images = episodes.to_float(support)
        queries = [episodes.to_float(group) for group in query_groups]
        batches = episodes.batch_stream(seed, support.shape[0], points[-1], evaluation.inner_batch_size)

        def step(number, vector, moments, steps, *moving):
            batch = tf.gather(batches, number)
            inputs, wanted, adam = tf.gather(images, batch), tf.gather(labels, batch), AdamState(moments, steps)
            vector, adam, _, seen = supervised_step(model, vector, adam, inputs, wanted, rate)
            return vector, *adam, *moved(moving, seen)

        def predict_all(vector, moments, steps, *moving):
            del moments, steps
            return predict(model, evaluation, layout.unpack(vector), images, queries, paired(moving))

        moving = ()
        if evaluation.batch_norm_statistics == "moving":  # they start as those of the support set
            moving = flatten(model.features(weights, images)[1])
        state = (layout.pack(weights), *fresh_adam(layout.size), *moving)
        return trajectory(step, predict_all, state, points)[0]
