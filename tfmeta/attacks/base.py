"""`Attack`: the contract of what an attacker trains on and sends."""

import abc
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from tfmeta.errors import PluginError
from tfmeta.plugins import Plugin

if TYPE_CHECKING:
    import tensorflow as tf

    from tfmeta.attacks.triggers.base import Trigger
    from tfmeta.models.base import PureModel


class AttackerData(NamedTuple):
    """An attacker's own images, as tensors."""

    images: "tf.Tensor"  # uint8 [classes, capacity, H, W, C], benign classes
    counts: "tf.Tensor"  # int32 [classes], how many images of each class are real; the rest is padding
    target: "tf.Tensor"  # uint8 [t, H, W, C], images of the target class (X_T in the paper)
    triggered: "tf.Tensor"  # uint8 [k, H, W, C], images of all backdoor classes, with the trigger (X_B)


class AttackContext(NamedTuple):
    """What an attack's hooks are told beside their data."""

    seed: "tf.Tensor"  # int32 [2]: the episode's, the same in all its steps; in `craft_update` the round's
    step: "tf.Tensor | int"  # int32, the inner step of the episode, from 0; 0 where there is none
    start: "list[tf.Tensor]"  # theta_G, which the attacker received in this round
    attacker: "tf.Tensor"  # int32, which of the attackers it is, from 0
    attackers: int  # how many there are
    boost: float  # lambda
    ways: int  # N, classes per episode
    shots: int  # K, images per class


class Attack(Plugin):
    """What an attacker trains on and sends. All hooks but `poison` run in a TensorFlow graph.

    Only `sample_episode` must be defined. Draw with stateless operations, with a different seed for each draw:
    `fold(context.seed, 20)`, `fold(context.seed, 21)` (`tfmeta.utils.seeds.fold`; 0 to 12 are taken). A resumed run
    then draws the same.
    """

    KIND: ClassVar[str] = "attacks"
    boosted: ClassVar[bool] = True  # whether the aggregation multiplies the update by lambda
    needs_reference: ClassVar[bool] = False  # whether the attacker also trains a benign update, see `craft_update`

    @abc.abstractmethod
    def sample_episode(self, data: AttackerData, context: AttackContext) -> tuple["tf.Tensor", "tf.Tensor"]:
        """Draw an episode.

        Args:
            data: The attacker's own images.
            context: What the attack is told.

        Returns:
            Images uint8 [n, H, W, C] and labels int32 [n] from 0 to ways - 1, with n fixed when the graph is built.

        Raises:
            PluginError: the shapes or dtypes are others; raised by the caller when the graph is built.
            tf.errors.InvalidArgumentError: a label is out of range; raised by the caller. The round ends in
                `ClientUpdateError`, which names the user.
        """

    def loss(
        self, model: "PureModel", weights: "list[tf.Tensor]", images: "tf.Tensor", labels: "tf.Tensor",
        context: AttackContext,
    ) -> "tf.Tensor":  # fmt: skip
        """Return the loss of an inner step's batch, a float32 scalar; by default the mean cross-entropy.

        Args:
            model: The network; `model.logits(weights, images)` returns logits and BatchNorm statistics.
            weights: Its weights.
            images: float32 [b, H, W, C] in [0, 1].
            labels: int32 [b].
            context: What the attack is told.
        """
        from tfmeta.meta_learning.reptile import cross_entropy

        return cross_entropy(model.logits(weights, images)[0], labels)

    def gradient(self, gradient: "tf.Tensor", context: AttackContext) -> "tf.Tensor":
        """Return the gradient that Adam takes, float32, all weights in one vector; by default unchanged."""
        return gradient

    def craft_update(
        self, theta: "list[tf.Tensor]", trained: "list[tf.Tensor]", reference: "list[tf.Tensor] | None",
        context: AttackContext,
    ) -> "list[tf.Tensor]":  # fmt: skip
        """Return the update to send, before the boost: a list like `theta`; by default trained - theta.

        Args:
            theta: theta_G, the weights that the attacker received.
            trained: The weights that it trained on its episodes.
            reference: With `needs_reference` the update that it would send if it were benign, trained in this round
                on its own benign classes; otherwise None.
            context: What the attack is told.
        """
        return [new - old for new, old in zip(trained, theta, strict=True)]

    def poison(self, trigger: "Trigger", images: np.ndarray, attacker: int, attackers: int) -> np.ndarray:
        """Return an attacker's images uint8 [n, H, W, C] with the trigger; by default the whole trigger.

        Each of several attackers may stamp a part; attack success is measured with the whole trigger.
        """
        return trigger.stamped(images)

    def poisoned(self, trigger: "Trigger", images: np.ndarray, attacker: int, attackers: int) -> np.ndarray:
        """Return what `poison` returns if it keeps the contract.

        Raises:
            PluginError: it does not have the images' shape and dtype.
        """
        found = self.poison(trigger, images, attacker, attackers)
        if not isinstance(found, np.ndarray) or (found.dtype, found.shape) != (images.dtype, images.shape):
            what = f"{getattr(found, 'dtype', type(found).__name__)} {list(np.shape(found))}"
            raise PluginError(
                f"the attack {self.NAME}: poison made {what} of images {images.dtype} {list(images.shape)}; it must "
                "keep their shape and dtype"
            )
        return found
