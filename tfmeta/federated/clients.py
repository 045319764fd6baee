"""What a client computes: a benign user's round, and the attacker's long training (section 2).

Plain TensorFlow functions of (weights, job). `federated.tff` wraps them in TFF computations, and `in_process` calls
them directly.
"""

import re
from typing import NamedTuple

import tensorflow as tf

from tfmeta import registry
from tfmeta.config import Config
from tfmeta.datasets.shards import read_images, read_shards
from tfmeta.errors import ClientUpdateError
from tfmeta.federated.jobs import JOB_TYPES, Job
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import AdamState, fresh_adam
from tfmeta.meta_learning.reptile import Reptile, Trained, local_training
from tfmeta.models.conv4 import Conv4
from tfmeta.models.flat import layout_of

REFUSED = "tfmeta refused an update: "  # marks our own messages in what TensorFlow and gRPC wrap around them
JOB_SPEC = Job(**{name: tf.TensorSpec(shape, tf.as_dtype(dtype)) for name, (dtype, shape) in JOB_TYPES.items()})


class Update(NamedTuple):
    """What a client returns: theta_i - theta_G as a list, and the mean loss of its last inner steps."""

    delta: list[tf.Tensor]
    loss: tf.Tensor


class Setting(NamedTuple):
    """What all clients of a run share.

    Attributes:
        model: The network.
        capacity: Images per class that every shard has room for.
        config: The run's configuration.
    """

    model: Conv4
    capacity: int
    config: Config

    @property
    def reptile(self) -> Reptile:
        """Reptile's numbers for benign users."""
        return Reptile.of(self.config, self.config.meta_learning.inner_steps)

    @property
    def attack_reptile(self) -> Reptile:
        """Reptile's numbers for the attacker (ledger 3)."""
        return Reptile.of(self.config, self.config.attack.inner_steps)


def benign_update(setting: Setting, weights: list[tf.Tensor], job: Job) -> Update:
    """Run one user's round from theta_G; a prepared update is read and not computed.

    Raises:
        tf.errors.InvalidArgumentError: the update holds NaN or infinity, or a prepared file has another size; the
            message has `REFUSED` and the user's name.
    """
    trained, loss = tf.cond(
        tf.equal(job.prepared, ""),
        lambda: _train(setting, weights, job),
        lambda: (_read_prepared(setting, job), tf.zeros([])),
    )
    delta = [new - old for new, old in zip(trained, weights, strict=True)]
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(part)) for part in delta])
    message = tf.strings.join([REFUSED, job.user, " sent NaN or infinity"])
    # TFF drops assertions that nothing depends on
    with tf.control_dependencies([tf.debugging.Assert(finite, [message])]):
        return Update([tf.identity(part) for part in delta], tf.identity(loss))


def attack_chunk(setting: Setting, weights: list[tf.Tensor], adam: AdamState, job: Job) -> Trained:
    """Train the attacker's model for some meta-batches of poisoned episodes.

    Chunks in a row equal one long training: the seed of episode i depends on i alone, and Adam's state comes along.
    """
    config, shape = setting.config, setting.model.image_shape
    images = read_shards(job.shards, setting.capacity, shape)
    target, triggered = read_images(job.target, shape), read_images(job.triggered, shape)
    attack = registry.load("attacks", config.attack.name)

    def sampler(seed):
        return attack.sample_episode(images, job.counts, target, triggered, seed, config)

    return local_training(
        setting.model, setting.attack_reptile, sampler, weights, AdamState(*adam), job.meta_step_size, job.seed,
        job.first_episode, job.meta_batches,
    )  # fmt: skip


def refusal(error: Exception) -> ClientUpdateError | None:
    """Return the `ClientUpdateError` that an error from inside a client's graph stands for, or None."""
    found = re.search(re.escape(REFUSED) + r"[^\]\"\\\n]*", str(error))
    if found is None:
        return None
    return ClientUpdateError(f"{found.group().strip()}; the round failed and the state is unchanged")


def _train(setting, weights, job):
    learning = setting.config.meta_learning
    images = read_shards(job.shards, setting.capacity, setting.model.image_shape)

    def sampler(seed):
        return episodes.sample_episode(images, job.counts, seed, learning.ways, learning.shots)

    adam = fresh_adam(layout_of(setting.model).size)
    trained = local_training(
        setting.model, setting.reptile, sampler, weights, adam, job.meta_step_size, job.seed, job.first_episode,
        job.meta_batches,
    )  # fmt: skip
    return trained.weights, trained.loss


def _read_prepared(setting, job):
    layout = layout_of(setting.model)
    wanted = 4 * layout.size  # float32
    raw = tf.io.read_file(job.prepared)
    length = tf.strings.length(raw)
    message = tf.strings.join([REFUSED, job.user, " sent ", tf.strings.as_string(length), f" bytes, not {wanted}"])
    fits = tf.equal(length, wanted)
    with tf.control_dependencies([tf.debugging.Assert(fits, [message])]):
        # the zeros are never seen; without them the next operation would fail first, with a message of its own
        vector = tf.cond(fits, lambda: tf.io.decode_raw(raw, tf.float32), lambda: tf.zeros([layout.size]))
        return layout.unpack(tf.ensure_shape(vector, [layout.size]))
