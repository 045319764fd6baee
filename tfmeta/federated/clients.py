"""What a client computes: a benign user's round, and the attacker's long training (section 2).

These are plain TensorFlow functions of weights and a job. `tff.process` wraps them in TFF computations, and
`in_process` calls them directly.
"""

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tfmeta import registry
from tfmeta.attacks.base import AttackContext, AttackerData
from tfmeta.config import Config
from tfmeta.datasets.shards import read_images, read_shards
from tfmeta.errors import ClientUpdateError
from tfmeta.federated.jobs import JOB_TYPES, Job
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import AdamState, fresh_adam
from tfmeta.meta_learning.reptile import Reptile, Trained, local_training
from tfmeta.models.conv4 import Conv4
from tfmeta.models.flat import layout_of

REFUSED = "tfmeta refused an update: "  # marks our messages inside those of TensorFlow and gRPC
JOB_SPEC = Job(**{name: tf.TensorSpec(shape, tf.as_dtype(dtype)) for name, (dtype, shape) in JOB_TYPES.items()})


class Update(NamedTuple):
    """What a client returns."""

    delta: list[tf.Tensor]  # theta_i - theta_G
    loss: tf.Tensor  # mean of its last inner steps


class Setting(NamedTuple):
    """What all clients of a run share."""

    model: Conv4
    capacity: int  # images per class that every shard has room for
    config: Config


def benign_update(setting: Setting, weights: list[tf.Tensor], job: Job) -> Update:
    """Run one user's round.

    Args:
        setting: What all clients share.
        weights: theta_G, a list of float32 tensors.
        job: The user's job, as tensors. If it names a prepared update, that is read and nothing is trained.

    Raises:
        tf.errors.InvalidArgumentError: The update holds NaN or infinity, or has another size; names the user.
    """
    trained, loss = tf.cond(
        tf.equal(job.prepared, ""),
        lambda: _train(setting, weights, job),
        lambda: (_read_prepared(setting, job), tf.zeros([])),
    )
    delta = [new - old for new, old in zip(trained, weights, strict=True)]
    finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(part)) for part in delta])
    assertion = tf.debugging.Assert(finite, [tf.strings.join([REFUSED, job.user, " sent NaN or infinity"])])
    with tf.control_dependencies([assertion]):  # TFF drops assertions that nothing depends on
        return Update([tf.identity(part) for part in delta], tf.identity(loss))


def attack_chunk(setting: Setting, weights: list[tf.Tensor], adam: AdamState, job: Job) -> Trained:
    """Train the attacker's model on poisoned episodes, from the weights and Adam's state of the previous chunk.

    Several chunks in a row equal one long training, since the seed of episode i depends on i alone.
    """
    config, shape = setting.config, setting.model.image_shape
    images = read_shards(job.shards, setting.capacity, shape)
    data = AttackerData(images, job.counts, read_images(job.target, shape), read_images(job.triggered, shape))
    attack, learning = registry.build("attacks", config), config.meta_learning

    def sampler(seed):
        return attack.sample_episode(data, AttackContext(seed, learning.ways, learning.shots))

    return _train_on(sampler, setting, Reptile.of(config, config.attack.inner_steps), weights, AdamState(*adam), job)


def call(function: Callable, *arguments: Any) -> Any:
    """Call a function; raise `ClientUpdateError` in place of an error that stands for a refused update."""
    try:
        return function(*arguments)
    except Exception as error:
        if not (found := re.search(re.escape(REFUSED) + r"[^\]\"\\\n]*", str(error))):
            raise
        raise ClientUpdateError(f"{found.group().strip()}; the round failed and the state is unchanged") from error


def _train(setting, weights, job):
    learning = setting.config.meta_learning
    images = read_shards(job.shards, setting.capacity, setting.model.image_shape)
    sampler = functools.partial(episodes.sample_episode, images, job.counts, ways=learning.ways, shots=learning.shots)
    reptile, adam = Reptile.of(setting.config, learning.inner_steps), fresh_adam(layout_of(setting.model).size)
    trained = _train_on(sampler, setting, reptile, weights, adam, job)
    return trained.weights, trained.loss


def _train_on(sampler, setting, reptile, weights, adam, job):
    numbers = job.meta_step_size, job.seed, job.first_episode, job.meta_batches
    return local_training(setting.model, reptile, sampler, weights, adam, *numbers)


def _read_prepared(setting, job):
    layout = layout_of(setting.model)
    wanted = 4 * layout.size  # bytes of float32
    raw = tf.io.read_file(job.prepared)
    length = tf.strings.length(raw)
    message = tf.strings.join([REFUSED, job.user, " sent ", tf.strings.as_string(length), f" bytes, not {wanted}"])
    fits = tf.equal(length, wanted)
    with tf.control_dependencies([tf.debugging.Assert(fits, [message])]):
        # the zeros are never seen; without them the next operation would fail first, with its own message
        vector = tf.cond(fits, lambda: tf.io.decode_raw(raw, tf.float32), lambda: tf.zeros([layout.size]))
        return layout.unpack(tf.ensure_shape(vector, [layout.size]))
