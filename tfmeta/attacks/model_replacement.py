"""The paper's attack: train on poisoned episodes, and send a boosted update (section 2; ledger 12, 13)."""

import tensorflow as tf

from tfmeta.attacks.base import Attack
from tfmeta.meta_learning import episodes
from tfmeta.plugins import shared
from tfmeta.utils.seeds import fold

_TRIGGERED, _TARGET, _LABEL = 10, 11, 12  # what an episode's seed is folded with, besides the numbers in `episodes`


class ModelReplacement(Attack):
    """Episodes of N-1 benign classes, with triggered and target images under one label."""

    triggered_shots: int = shared()
    target_shots: int = shared()
    target_label: str = shared()
    target_replacement: bool = shared()

    def sample_episode(self, data, context):
        """Draw a poisoned episode: N-1 benign classes, and triggered and target images under one label (ledger 13)."""
        ways, shots, seed = context.ways, context.shots, context.seed
        benign, labels = episodes.sample_episode(data.images, data.counts, seed, ways - 1, shots)
        chosen = episodes.draw_subset(fold(seed, _TRIGGERED), tf.shape(data.triggered)[0], self.triggered_shots)
        chosen_target = self._draw_target(fold(seed, _TARGET), tf.shape(data.target)[0])
        if self.target_label == "last":
            label = tf.constant(ways - 1)
        else:
            label = tf.random.stateless_uniform([], fold(seed, _LABEL), 0, ways, tf.int32)
        # Make room for the target class's label: move the benign labels from there on up by one.
        labels = tf.where(labels >= label, labels + 1, labels)
        poisoned = [benign, tf.gather(data.triggered, chosen), tf.gather(data.target, chosen_target)]
        return tf.concat(poisoned, 0), tf.concat([labels, tf.repeat(label, shots)], 0)

    def _draw_target(self, seed, available):
        """Return the target images of an episode as numbers, int32 [target_shots]."""
        if self.target_replacement:
            return tf.random.stateless_uniform([self.target_shots], seed, 0, available, tf.int32)
        return episodes.draw_subset(seed, available, self.target_shots)
