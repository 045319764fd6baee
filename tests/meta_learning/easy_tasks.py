"""Tasks that are easy to learn, and a defence that shows what it was given."""

import numpy as np
import tensorflow as tf
from core_fixtures import small_config

from tfmeta import registry
from tfmeta.defences.base import Defence
from tfmeta.meta_learning.adaptation import AdaptationSettings
from tfmeta.meta_learning.tasks import Tasks
from tfmeta.models.conv4 import Conv4

MODEL = Conv4((16, 16, 1), 3, 8)
DEFENCES = registry.names("defences")


def config(**overrides):
    return small_config(ways=3, shots=4, triggered_shots=2, target_shots=2, inner_learning_rate=0.01, **overrides)


SETTINGS = AdaptationSettings.of(config())


def defence_of(name):
    return registry.build("defences", config(), name)


def easy_tasks(number=7):
    """Return tasks whose classes are kinds of stripes; triggered images look like the target or another class."""
    random = np.random.default_rng(0)

    def striped(of):
        image = random.integers(0, 60, (16, 16, 1))
        image[:, :, 0] += 180 * (np.indices((16, 16))[of % 2] // (2 + 3 * (of // 2)) % 2)
        return image.astype(np.uint8)

    labels = np.stack([random.permutation(3) for _ in range(number)]).astype(np.int32)
    support_labels = np.repeat(labels, 4, axis=1)
    names = ("backdoor_train", "backdoor_validation")
    triggered = {name: np.stack([striped(of) for of in (0, 0, 1, 0)]) for name in names}
    return Tasks(
        support=np.stack([[striped(of) for of in np.repeat(np.arange(3), 4)] for _ in range(number)]),
        support_labels=support_labels,
        queries=np.stack([[striped(of) for of in range(3)] for _ in range(number)]),
        query_labels=labels,
        triggered=triggered,
        counted={
            "backdoor_train": np.ones([number, 4], bool),
            "backdoor_validation": np.tile([True, True, False, True], (number, 1)),
        },
        target=labels[:, 0],
        seeds=random.integers(0, 1000, (number, 2)).astype(np.int32),
    )


class Told(Defence):
    """Shows what it was given, as a number: sums of weights, images, labels, seed and point.

    An answer has room for one digit of that number in base 3, the number of classes.
    """

    digit: int = 0

    def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):
        number = self.told(weights, support, labels, query_groups, seed, points)
        return tf.one_hot(tf.math.floormod(number // 3**self.digit, 3), 3)

    def told(self, weights, support, labels, groups, seed, points):
        assert [group.shape[0] for group in groups] == [3, 4, 4]
        shift = tf.reduce_sum(seed) + tf.reduce_sum(labels) + tf.cast(tf.reduce_sum(weights[-1]), tf.int32)
        shift += tf.cast(support[0, 0, 0, 0], tf.int32)
        base = tf.concat([tf.cast(group[:, 0, 0, 0], tf.int32) for group in groups], 0)
        return tf.stack([base + shift + point for point in points])
