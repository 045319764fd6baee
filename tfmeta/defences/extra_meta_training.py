"""Extra local meta-training: a user runs Reptile on its own classes before it fine-tunes on a task (appendix A.3).

By default it starts from the task's mixed weights theta' (ledger 29), so each task has its own training.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from tfmeta.datasets.shards import read_shards
from tfmeta.defences.fine_tuning import FineTuning
from tfmeta.defences.matching import Matching
from tfmeta.defences.noise_mix import NoiseMix, mixed
from tfmeta.errors import ConfigError, ModelError
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import fresh_adam
from tfmeta.meta_learning.reptile import Reptile, local_training
from tfmeta.models.base import check_weights
from tfmeta.models.flat import layout_of
from tfmeta.plugins import shared, word
from tfmeta.utils.seeds import fold

_EPISODES = 9  # what a task's seed is folded with for its episodes


class ExtraMetaTraining(Matching):
    """Extra meta-training, then supervised fine-tuning or a matching network (figures A8 to A11).

    With extra_order "after-mix" theta is mixed before the extra training, and with "before-mix" after it.
    """

    needs_own_images = True

    then: str = word("matching", "what follows the extra meta-training", ("matching", "noise_mix", "fine_tuning"))
    extra_episodes: int = shared()
    extra_meta_step_size: float = shared()
    extra_order: str = shared()

    @property
    def head(self):
        """The head of what follows."""
        return "matching" if self.then == "matching" else "softmax"

    @property
    def stored_as(self):
        """The name of what follows."""
        return self.then

    @property
    def prepared_by(self):
        """What follows does not matter, so figures A8 and A9 share the extra training."""
        return dataclasses.replace(self, then="matching")

    def prepare(self, model, learning, weights, own, seeds, report):
        """Return each task's weights after the extra meta-training; arguments as in `Defence.prepare`.

        A configuration refuses `extra_episodes` that are not a multiple of `meta_batch_size`; without one, the episodes
        of the last, incomplete meta-batch are left out.

        Raises:
            ConfigError: `extra_episodes` is 0.
            ModelError: the weights have other shapes, or hold NaN or infinity.
        """
        if not self.extra_episodes:
            raise ConfigError("defence.extra_episodes = 0: say how many episodes the extra meta-training has")
        check_weights(model, weights, "the model to train on", ModelError)
        train = _trainer(model, learning, self)
        weights = [tf.constant(part) for part in weights]
        images = read_shards(tf.constant(own.shards), own.capacity, model.image_shape)  # once for all tasks
        trained = []
        for seed in seeds:
            trained.append(train(weights, images, tf.constant(own.counts), tf.constant(seed)).numpy())
            report(1)
        return np.stack(trained)

    def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):
        """Do what `then` says, from the prepared weights; see `Defence.adapt`."""
        delta = 1.0 if self.extra_order == "after-mix" else self.delta  # so they are not mixed again
        follows = {
            "matching": Matching(**{name: getattr(self, name) for name in Matching.OPTIONS} | {"delta": delta}),
            "noise_mix": NoiseMix(delta=delta, mixed_layers=self.mixed_layers),
            "fine_tuning": FineTuning(),
        }[self.then]
        return follows.adapt(model, evaluation, weights, support, labels, query_groups, seed, points)


@functools.lru_cache(maxsize=8)
def _trainer(model, learning, defence):
    """Return the graph of one task's training; traced once per configuration."""
    layout = layout_of(model)
    reptile = Reptile(
        learning.meta_batch_size, learning.inner_steps, learning.inner_batch_size, learning.inner_learning_rate,
        learning.adam_state == "carry",
    )  # fmt: skip

    @tf.function(autograph=False)
    def train(weights, images, counts, seed):
        def sampler(drawn):
            return episodes.sample_episode(images, counts, drawn, learning.ways, learning.shots)

        if defence.extra_order == "after-mix":
            weights = mixed(model, defence.delta, defence.mixed_layers, weights, seed)
        trained = local_training(
            model, reptile, sampler, weights, fresh_adam(layout.size), defence.extra_meta_step_size,
            fold(seed, _EPISODES), 0, defence.extra_episodes // learning.meta_batch_size,
        )  # fmt: skip
        return layout.pack(trained.weights)

    return train
