"""`Defence`: the contract of what a user can do alone against a backdoor."""

import abc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from tfmeta.config.meta_learning import MetaLearningConfig
from tfmeta.plugins import Plugin

if TYPE_CHECKING:
    import tensorflow as tf

    from tfmeta.meta_learning.adaptation import AdaptationSettings
    from tfmeta.models.base import PureModel


class OwnImages(NamedTuple):
    """The images of a user's own classes, which it also trains on in the federation."""

    shards: Sequence[str]  # files; `datasets.shards.read_shards` reads them in a graph
    counts: np.ndarray  # int32 [classes], the number of images of each class in them
    capacity: int  # images per class that the shards have room for


class Defence(Plugin):
    """How a user adapts the model that it was sent to its own task.

    A defence gets what a user has: the weights that it was sent, the support set of its task, and the query images to
    classify; with `needs_own_images` also the user's other images. `adapt` runs inside a TensorFlow graph, once per
    task, so it uses TensorFlow operations.
    """

    KIND: ClassVar[str] = "defences"
    head: ClassVar[str] = "softmax"  # stored with each curve: "softmax", or "matching" if it compares embeddings
    needs_own_images: ClassVar[bool] = False  # then `prepare` comes first

    @property
    def stored_as(self) -> str:
        """What the files of its measurements are called."""
        return self.NAME

    @property
    def prepared_by(self) -> "Defence":
        """The defence with only those options that `prepare` reads; others with the same one share its results."""
        return self

    @abc.abstractmethod
    def adapt(
        self, model: "PureModel", evaluation: "AdaptationSettings", weights: "list[tf.Tensor]", support: "tf.Tensor",
        labels: "tf.Tensor", query_groups: "Sequence[tf.Tensor]", seed: "tf.Tensor", points: Sequence[int],
    ) -> "tf.Tensor":  # fmt: skip
        """Return class probabilities of all queries at the iterations `points`: float32 [points, queries, ways].

        Args:
            model: The network, a function of explicit weights.
            evaluation: The shared settings: learning rate, batch size, batch normalisation statistics.
            weights: The model's weights to start from, float32 tensors.
            support: uint8 [n, H, W, C].
            labels: int32 [n], from 0 to `model.ways` - 1.
            query_groups: uint8 [q, H, W, C] each, to classify and not to train on; the result has one group after the
                other. Groups matter only where queries are normalised together.
            seed: int32 [2], for what is drawn.
            points: Iterations in ascending order; 0 is the model before its first step.
        """

    def prepare(
        self, model: "PureModel", learning: MetaLearningConfig, weights: list[np.ndarray], own: OwnImages,
        seeds: np.ndarray, report: Callable[[int], None],
    ) -> np.ndarray:  # fmt: skip
        """Return the weights from which each task's adaptation starts, float32 [tasks, size].

        Called only with `needs_own_images`, once for all tasks of a user.

        Args:
            model: The network.
            learning: The federation's settings of meta-learning.
            weights: The weights that the user received.
            own: The user's own images.
            seeds: int32 [tasks, 2], the tasks'.
            report: Called with the number of tasks done since the last call.
        """
        raise NotImplementedError(f"{type(self).__name__} says needs_own_images, but defines no prepare")
