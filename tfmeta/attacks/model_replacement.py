"""The paper's attack: train on poisoned episodes, and send a boosted update (section 2; ledger 12, 13)."""

import tensorflow as tf

from tfmeta.config import Config
from tfmeta.meta_learning import episodes
from tfmeta.utils.seeds import fold

_TRIGGERED, _TARGET, _LABEL = 10, 11, 12  # what an episode's seed is folded with, besides the numbers in `episodes`


def sample_episode(
    images: tf.Tensor, counts: tf.Tensor, target: tf.Tensor, triggered: tf.Tensor, seed: tf.Tensor, config: Config
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw a poisoned episode: N-1 benign classes, and triggered and target images under one label (ledger 13).

    Args:
        images: uint8 [classes, capacity, H, W, C], the attacker's benign images.
        counts: int32 [classes], the number of images of each class.
        target: uint8 [t, H, W, C], the attacker's images of the target class (X_T in the paper).
        triggered: uint8 [k, H, W, C], the attacker's images of all backdoor classes, with the trigger (X_B).
        seed: int32 [2].
        config: Reads ways, shots and the group `attack`.

    Returns:
        Images uint8 [ways * shots, H, W, C] and labels int32 [ways * shots].
    """
    ways, shots, attack = config.meta_learning.ways, config.meta_learning.shots, config.attack
    benign, labels = episodes.sample_episode(images, counts, seed, ways - 1, shots)
    chosen = episodes.draw_subset(fold(seed, _TRIGGERED), tf.shape(triggered)[0], attack.triggered_shots)
    chosen_target = _draw_target(fold(seed, _TARGET), tf.shape(target)[0], config)
    if attack.target_label == "last":
        label = tf.constant(ways - 1)
    else:
        label = tf.random.stateless_uniform([], fold(seed, _LABEL), 0, ways, tf.int32)
    # Make room for the target class's label: move the benign labels from there on up by one.
    labels = tf.where(labels >= label, labels + 1, labels)
    poisoned = tf.concat([benign, tf.gather(triggered, chosen), tf.gather(target, chosen_target)], 0)
    return poisoned, tf.concat([labels, tf.repeat(label, shots)], 0)


def _draw_target(seed, available, config):
    """Return the target images of an episode as numbers, int32 [target_shots]."""
    if config.attack.target_replacement:
        return tf.random.stateless_uniform([config.attack.target_shots], seed, 0, available, tf.int32)
    return episodes.draw_subset(seed, available, config.attack.target_shots)
