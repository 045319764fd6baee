"""`Attack`: the contract of what the attacker trains on and sends."""

import abc
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from tfmeta.plugins import Plugin

if TYPE_CHECKING:
    import tensorflow as tf


class AttackerData(NamedTuple):
    """The attacker's own images, as tensors."""

    images: "tf.Tensor"  # uint8 [classes, capacity, H, W, C], benign classes
    counts: "tf.Tensor"  # int32 [classes], the number of images of each class
    target: "tf.Tensor"  # uint8 [t, H, W, C], images of the target class (X_T in the paper)
    triggered: "tf.Tensor"  # uint8 [k, H, W, C], images of all backdoor classes, with the trigger (X_B)


class AttackContext(NamedTuple):
    """What an attack's hooks are told beside their data."""

    seed: "tf.Tensor"  # int32 [2], the episode's
    ways: int  # N, classes per episode
    shots: int  # K, images per class


class Attack(Plugin):
    """What the attacker trains on. Hooks run in a TensorFlow graph."""

    KIND: ClassVar[str] = "attacks"

    @abc.abstractmethod
    def sample_episode(self, data: AttackerData, context: AttackContext) -> tuple["tf.Tensor", "tf.Tensor"]:
        """Draw an episode: images uint8 [n, H, W, C] and labels int32 [n], with n = ways * shots."""
