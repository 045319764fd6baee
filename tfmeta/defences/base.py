"""`Defence`: the contract of what a user can do alone against a backdoor."""

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from tfmeta.plugins import Plugin

if TYPE_CHECKING:
    import tensorflow as tf

    from tfmeta.meta_learning.adaptation import AdaptationSettings
    from tfmeta.models.conv4 import Conv4


class Defence(Plugin):
    """How a user adapts the model that it was sent to its own task.

    A defence sees that model and the task's support set, and nothing else. It runs inside a TensorFlow graph, so it
    uses TensorFlow operations.
    """

    KIND: ClassVar[str] = "defences"
    head: ClassVar[str] = "softmax"  # the head that its results belong to: "softmax" or "matching"

    @abc.abstractmethod
    def adapt(
        self, model: "Conv4", evaluation: "AdaptationSettings", weights: "list[tf.Tensor]", support: "tf.Tensor",
        labels: "tf.Tensor", query_groups: "Sequence[tf.Tensor]", seed: "tf.Tensor", points: Sequence[int],
    ) -> "tf.Tensor":  # fmt: skip
        """Return class probabilities of all queries at the iterations `points`: float32 [points, queries, ways].

        Args:
            model: The network, a function of explicit weights.
            evaluation: The shared settings: learning rate, batch size, batch normalisation statistics.
            weights: The model's weights to start from, float32 tensors.
            support: uint8 [n, H, W, C].
            labels: int32 [n].
            query_groups: uint8 [q, H, W, C] each; the result has one group after the other. Groups matter only where
                queries are normalised together.
            seed: int32 [2], for what is drawn.
            points: Ascending iterations; 0 is the model before its first step.
        """
