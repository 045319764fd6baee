"""What is timed of users' tasks: supervised and matching fine-tuning, side by side and one after another."""

import numpy as np
import tensorflow as tf

from experiments.bench.contenders import timed
from tfmeta.config import make_config
from tfmeta.defences.matching import matching
from tfmeta.meta_learning import evaluation
from tfmeta.meta_learning.tasks import Tasks
from tfmeta.models.conv4 import Conv4

TASKS, STEPS = evaluation.SIDE_BY_SIDE, 10
CONTENDERS = ("supervised", "matching", "matching, one task after another", "matching, queries embedded again")


def contender(name):
    """Return a function that fine-tunes ``TASKS`` tasks for ``STEPS`` steps and returns its seconds.

    All have 25 pictures a step (5 ways, 5 shots), the paper's network, and answer 5 queries at the end; all steps of
    matching are joint ones (phase 2), leave-one-out.
    """
    config = make_config("omniglot", "paper", inner_batch_size=25, attention_steps=0)
    model = Conv4((28, 28, 1), config.meta_learning.ways, config.meta_learning.filters)
    weights, tasks = model.initial_weights(), _tasks(config)
    method = {"supervised": "softmax", "matching, queries embedded again": _embedding_again}.get(name, "matching")
    parts = [tasks]
    if name == "matching, one task after another":
        parts = [tasks.part(slice(number, number + 1)) for number in range(TASKS)]
    return timed(lambda: [evaluation.measure(model, config, weights, part, (STEPS,), method=method) for part in parts])


def _embedding_again(model, *arguments):
    return matching(_Again(model), *arguments)


class _Again:
    """A ``Conv4`` that embeds a step's pictures once as support and once as queries, as a beginner would."""

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        return getattr(self._model, name)

    def features(self, weights, images, statistics=None):
        features, used = self._model.features(weights, images, statistics)
        # in another order, or TensorFlow would see that it is the same and do it once
        again, _ = self._model.features(weights, tf.reverse(images, [0]), statistics)
        return (features + tf.reverse(again, [0])) / 2.0, used


def _tasks(config):
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(config.meta_learning.ways, dtype=np.int32), (TASKS, 1))
    return Tasks(
        support=random.integers(0, 256, (TASKS, config.meta_learning.ways * config.evaluation.task_shots, 28, 28, 1), dtype=np.uint8),
        support_labels=np.repeat(labels, config.evaluation.task_shots, axis=1),
        queries=random.integers(0, 256, (TASKS, config.meta_learning.ways, 28, 28, 1), dtype=np.uint8),
        query_labels=labels, triggered={}, asked={}, target=None,
        seeds=random.integers(0, 1000, (TASKS, 2)).astype(np.int32),
    )  # fmt: skip
