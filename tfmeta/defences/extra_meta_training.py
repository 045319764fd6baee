"""Extra local meta-training: a user runs Reptile on its own classes before it fine-tunes on a task (appendix A.3).

By default it starts from the task's mixed weights theta' (ledger 29), so each task has its own training.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfmeta.config import Config
from tfmeta.datasets.shards import read_shards
from tfmeta.defences import noise_mix
from tfmeta.errors import ModelError
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import fresh_adam
from tfmeta.meta_learning.reptile import Reptile, local_training
from tfmeta.models.conv4 import Conv4, check_weights
from tfmeta.models.flat import layout_of
from tfmeta.utils.seeds import fold

_EPISODES = 9  # what a task's seed is folded with for its episodes


def meta_trained(
    model: Conv4, config: Config, weights: list[np.ndarray], shards: Sequence[str], counts: np.ndarray, capacity: int,
    seeds: np.ndarray, report: Callable[[int], None] = lambda done: None,
) -> np.ndarray:  # fmt: skip
    """Return the weights from which each task's fine-tuning starts, float32 [tasks, size].

    Args:
        model: The network.
        config: Reads the groups `meta_learning` and `defence`. With extra_order "after-mix" theta is mixed here, and
            with "before-mix" by the defence that follows.
        weights: theta as the user received it.
        shards: Files with the user's own images.
        counts: int32 [classes], the number of images of each class in them.
        capacity: Images per class that the shards have room for.
        seeds: int32 [tasks, 2], the tasks'.
        report: Called with the number of tasks done since the last call.

    Raises:
        ModelError: the weights do not fit the model or hold NaN.
    """
    check_weights(model, weights, "the model to train on", ModelError)
    train = _trainer(model, config)
    weights = [tf.constant(part) for part in weights]
    images = read_shards(tf.constant(shards), capacity, model.image_shape)  # once for all tasks
    trained = []
    for seed in seeds:
        trained.append(train(weights, images, tf.constant(counts), tf.constant(seed)).numpy())
        report(1)
    return np.stack(trained)


@functools.lru_cache(maxsize=8)
def _trainer(model, config):
    """Return the graph of one task's training; traced once per configuration."""
    layout, learning, defence = layout_of(model), config.meta_learning, config.defence

    @tf.function(autograph=False)
    def train(weights, images, counts, seed):
        def sampler(drawn):
            return episodes.sample_episode(images, counts, drawn, learning.ways, learning.shots)

        if defence.extra_order == "after-mix":
            weights = noise_mix.mixed(model, defence.delta, defence.mixed_layers, weights, seed)
        trained = local_training(
            model, Reptile.of(config, learning.inner_steps), sampler, weights, fresh_adam(layout.size),
            defence.extra_meta_step_size, fold(seed, _EPISODES), 0, defence.extra_episodes // learning.meta_batch_size,
        )  # fmt: skip
        return layout.pack(trained.weights)

    return train
