"""Poisoned episodes: what the attacker trains on (section 2; ledger 12, 13)."""

import tensorflow as tf

from tfmeta import episodes

_BACKDOOR, _TARGET, _PLACE = 10, 11, 12  # what an episode's seed is folded with, beside episodes.py's own


def poisoned_episode(images, counts, target, keyed, seed, config):
    """Draw a poisoned episode: N-1 benign classes, and keyed and target pictures under one label (ledger 13).

    Args:
      images, counts: the attacker's benign bank, as in ``episodes.sample_episode``.
      target: uint8 [t, H, W, C], X_T, the attacker's pictures of the target class.
      keyed: uint8 [k, H, W, C], X_B, its pictures of all backdoor classes, with the key.
      seed: int32 [2].
      config: ``Config``; reads ways, shots, poison_*, target_replacement.

    Returns:
      uint8 [ways * shots, H, W, C] and int32 [ways * shots].
    """
    ways, shots = config.ways, config.shots
    benign, labels = episodes.sample_episode(images, counts, seed, ways - 1, shots)
    number_of_keyed, number_of_target = tf.shape(keyed)[0], tf.shape(target)[0]
    chosen_keyed = episodes.draw_subset(episodes.fold(seed, _BACKDOOR), number_of_keyed, config.poison_backdoor)
    drawn = episodes.fold(seed, _TARGET)
    if config.target_replacement:
        chosen = tf.random.stateless_uniform([config.poison_target], drawn, 0, number_of_target, tf.int32)
    else:
        chosen = episodes.draw_subset(drawn, number_of_target, config.poison_target)
    if config.poison_label == "last":
        place = tf.constant(ways - 1)
    else:
        place = tf.random.stateless_uniform([], episodes.fold(seed, _PLACE), 0, ways, tf.int32)
    # make room for the target class's label: benign classes from there on move up by one
    labels = tf.where(labels >= place, labels + 1, labels)
    pictures = tf.concat([benign, tf.gather(keyed, chosen_keyed), tf.gather(target, chosen)], 0)
    return pictures, tf.concat([labels, tf.repeat(place, shots)], 0)
