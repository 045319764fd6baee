"""Extra local meta-training: Reptile by a user on its own classes, before it fine-tunes on a task (appendix A.3).

By default it begins with the task's mixed weights theta' (ledger 29), so each task has a training of its own.
"""

import functools

import numpy as np
import tensorflow as tf

from tfmeta import episodes, mix
from tfmeta.client import read_pools
from tfmeta.errors import ModelError
from tfmeta.flat import layout_of
from tfmeta.models.conv4 import check_weights
from tfmeta.reptile import fresh_adam, local_training

_DRAW = 9  # what a task's seed is folded with for its episodes


def meta_trained(setting, weights, bank, seeds, report=lambda done: None):
    """Return the weights with which each task's fine-tuning begins, float32 [tasks, size].

    Args:
      setting: ``client.Setting``; its configuration says how many episodes, the outer step, and whether theta is mixed
        first (``extra_place`` "after-mix") or not here ("before-mix": then fine-tuning mixes what this returns).
      weights: list of arrays, theta as the user was sent it.
      bank: (paths, counts) of the user's own pictures, as ``users.Banks.benign`` returns them.
      seeds: int32 [tasks, 2], the tasks'.
      report: called with the number of tasks done.

    Raises ``ModelError`` for weights that are not the model's.
    """
    check_weights(setting.model, weights, "the model to train on", ModelError)
    train, (paths, counts) = _trainer(setting), bank
    weights = [tf.constant(part) for part in weights]
    images = read_pools(tf.constant(paths), setting.capacity, setting.model.image_shape)  # once, not for every task
    trained = []
    for seed in seeds:
        trained.append(train(weights, images, tf.constant(counts), tf.constant(seed)).numpy())
        report(1)
    return np.stack(trained)


@functools.lru_cache(maxsize=8)
def _trainer(setting):
    """Return the graph of one task's training; traced once a configuration."""
    model, config = setting.model, setting.config
    layout = layout_of(model)

    @tf.function(autograph=False)
    def train(weights, images, counts, seed):
        def sampler(drawn):
            return episodes.sample_episode(images, counts, drawn, config.ways, config.shots)

        if config.extra_place == "after-mix":
            weights = mix.mixed(model, config, weights, seed)
        trained = local_training(
            model, setting.reptile, sampler, weights, fresh_adam(layout.size), config.extra_epsilon,
            episodes.fold(seed, _DRAW), 0, config.extra_episodes // config.meta_batch,
        )  # fmt: skip
        return layout.pack(trained.weights)

    return train
