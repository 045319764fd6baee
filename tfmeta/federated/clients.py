"""What a client computes: its update in a round, and an attacker's long training (section 2).

These are plain TensorFlow functions of weights and a job. `tff.process` wraps them in TFF computations, and
`in_process` calls them directly.
"""

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tfmeta import registry
from tfmeta.attacks import hooks
from tfmeta.attacks.base import Attack, AttackContext, AttackerData
from tfmeta.config import Config
from tfmeta.datasets.shards import read_images, read_shards
from tfmeta.errors import ClientUpdateError
from tfmeta.federated.jobs import JOB_TYPES, Job, boost_of
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import AdamState, fresh_adam
from tfmeta.meta_learning.reptile import Reptile, Trained, local_training
from tfmeta.models.base import PureModel
from tfmeta.models.flat import layout_of

REFUSED = "tfmeta refused an update: "  # marks our messages inside those of TensorFlow and gRPC
JOB_SPEC = Job(**{name: tf.TensorSpec(shape, tf.as_dtype(dtype)) for name, (dtype, shape) in JOB_TYPES.items()})


class Update(NamedTuple):
    """What a client returns."""

    delta: list[tf.Tensor]  # theta_i - theta_G, or what an attack sends instead
    loss: tf.Tensor  # mean of its last inner steps


class Setting(NamedTuple):
    """What all clients of a run share."""

    model: PureModel
    capacity: int  # images per class that every shard has room for
    config: Config


def client_update(setting: Setting, weights: list[tf.Tensor], job: Job) -> Update:
    """Run one client's round.

    Args:
        setting: What all clients share.
        weights: theta_G, a list of float32 tensors.
        job: The client's job, as tensors. If it names weights trained beforehand, the client is an attacker: it reads
            them and makes its update of them.

    Raises:
        tf.errors.InvalidArgumentError: The update holds NaN or infinity, or has another size; names the user.
        PluginError: The attack makes no update of the model's shapes; raised when the graph is traced.
    """
    delta, loss = tf.cond(
        tf.equal(job.prepared, ""),
        lambda: _benign(setting, weights, job),
        lambda: (_crafted(setting, weights, job), tf.zeros([])),
    )
    assertion = tf.debugging.Assert(_finite(delta), [tf.strings.join([REFUSED, job.user, " sent NaN or infinity"])])
    with tf.control_dependencies([assertion]):  # TFF drops assertions that nothing depends on
        return Update([tf.identity(part) for part in delta], tf.identity(loss))


def attack_chunk(
    setting: Setting, weights: list[tf.Tensor], adam: AdamState, start: list[tf.Tensor], job: Job
) -> Trained:
    """Train an attacker's model on its episodes, from the weights and Adam's state of the previous chunk.

    Several chunks in a row equal one long training, since the seed of episode i depends on i alone.

    Args:
        setting: What all clients share.
        weights: The weights after the previous chunk.
        adam: Adam's state after it.
        start: theta_G, from which the first chunk started.
        job: The chunk's job, as tensors.

    Raises:
        tf.errors.InvalidArgumentError: A label is out of range, or the training gave NaN or infinity; names the user.
        PluginError: A hook of the attack returns another shape or dtype; raised when the graph is traced.
    """
    attack, shape, told = _attack(setting), setting.model.image_shape, _context(setting, start, job)
    images = read_shards(job.shards, setting.capacity, shape)
    data = AttackerData(images, job.counts, read_images(job.target, shape), read_images(job.triggered, shape))

    def refused(words):
        return tf.strings.join([REFUSED, job.user, words])

    def sampler(seed):
        return hooks.episode(attack, data, told._replace(seed=seed), refused)

    reptile = Reptile.of(setting.config, setting.config.attack.inner_steps)
    take = hooks.inner_step(attack, setting.model, told)
    trained = _train_on(sampler, setting, reptile, weights, AdamState(*adam), job, take)
    message = refused(f" trained to NaN or infinity: look at loss and gradient of the attack {attack.NAME}")
    assertion = tf.debugging.Assert(_finite([*trained.weights, *trained.adam, trained.loss]), [message])
    with tf.control_dependencies([assertion]):
        return tf.nest.map_structure(tf.identity, trained)


def call(function: Callable, *arguments: Any) -> Any:
    """Call a function; raise `ClientUpdateError` in place of an error that stands for a refused update."""
    try:
        return function(*arguments)
    except Exception as error:
        if not (found := re.search(re.escape(REFUSED) + r"[^\]\"\\\n]*", str(error))):
            raise
        raise ClientUpdateError(f"{found.group().strip()}; the round failed and the state is unchanged") from error


def _benign(setting, weights, job):
    """Return a benign user's update and loss."""
    learning = setting.config.meta_learning
    images = read_shards(job.shards, setting.capacity, setting.model.image_shape)
    sampler = functools.partial(episodes.sample_episode, images, job.counts, ways=learning.ways, shots=learning.shots)
    reptile, adam = Reptile.of(setting.config, learning.inner_steps), fresh_adam(layout_of(setting.model).size)
    trained = _train_on(sampler, setting, reptile, weights, adam, job)
    return [new - old for new, old in zip(trained.weights, weights, strict=True)], trained.loss


def _crafted(setting, weights, job):
    """Return an attacker's update."""
    attack, trained = _attack(setting), _read_prepared(setting, job)
    reference = _benign(setting, weights, job)[0] if attack.needs_reference else None
    return hooks.update(attack, list(weights), trained, reference, _context(setting, weights, job))


def _attack(setting) -> Attack:
    return registry.build("attacks", setting.config)


def _context(setting, start, job):
    config = setting.config
    return AttackContext(
        seed=job.seed, step=0, start=list(start), attacker=job.attacker, attackers=config.federation.attackers,
        boost=boost_of(config), ways=config.meta_learning.ways, shots=config.meta_learning.shots,
    )  # fmt: skip


def _train_on(sampler, setting, reptile, weights, adam, job, take=None):
    numbers = job.meta_step_size, job.seed, job.first_episode, job.meta_batches
    return local_training(setting.model, reptile, sampler, weights, adam, *numbers, take)


def _finite(tensors):
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(part)) for part in tensors])


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
