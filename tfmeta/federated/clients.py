"""What a client computes: its update in a round, and an attacker's long training (section 2).

These are plain TensorFlow functions of weights and a job. `tff.process` wraps them in TFF computations, and
`in_process` calls them directly.
"""

import functools
import math
from typing import NamedTuple

import tensorflow as tf

from tfmeta import registry
from tfmeta.attacks import hooks
from tfmeta.attacks.base import Attack, AttackContext, AttackerData
from tfmeta.config import Config
from tfmeta.config.config import boost_of
from tfmeta.datasets.shards import read_images, read_shards
from tfmeta.federated import refusals
from tfmeta.federated.checks import REFUSED, benign_needs
from tfmeta.federated.jobs import JOB_TYPES, Job
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import AdamState, fresh_adam
from tfmeta.meta_learning.reptile import Reptile, Trained, local_training
from tfmeta.models.base import PureModel
from tfmeta.models.flat import layout_of

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
        tf.errors.InvalidArgumentError: The update holds NaN or infinity, or has another size; or its L2 norm, times the
            job's boost and alpha, is above `federation.max_update_norm`; or the job's counts do not fit its shards.
            Names the user.
        PluginError: The attack makes no update of the model's shapes; raised when the graph is traced.
    """
    delta, loss = tf.cond(
        tf.equal(job.prepared, ""),
        lambda: _benign(setting, weights, job),
        lambda: (_crafted(setting, weights, job), tf.zeros([])),
    )
    return Update(*refusals.of_update(setting.config.federation.max_update_norm, job, delta, loss))


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
    images, counts = _images(setting, job, 1, 1)  # what more an episode needs is the attack's to say
    data = AttackerData(images, counts, read_images(job.target, shape), read_images(job.triggered, shape))

    def refused(words):
        return tf.strings.join([REFUSED, job.user, words])

    def sampler(seed):
        return hooks.episode(attack, data, told._replace(seed=seed), refused)

    reptile = Reptile.of(setting.config, setting.config.attack.inner_steps)
    take = hooks.inner_step(attack, setting.model, told)
    trained = _train_on(sampler, setting, reptile, weights, AdamState(*adam), job, take)
    words = f" trained to NaN or infinity: look at loss and gradient of the attack {attack.NAME}"
    return refusals.require(job, [(refusals.finite([*trained.weights, *trained.adam, trained.loss]), words)], trained)


def _benign(setting, weights, job):
    """Return a benign user's update and loss."""
    learning = setting.config.meta_learning
    images, counts = _images(setting, job, *benign_needs(setting))
    sampler = functools.partial(episodes.sample_episode, images, counts, ways=learning.ways, shots=learning.shots)
    reptile, adam = Reptile.of(setting.config, learning.inner_steps), fresh_adam(layout_of(setting.model).size)
    trained = _train_on(sampler, setting, reptile, weights, adam, job)
    return [new - old for new, old in zip(trained.weights, weights, strict=True)], trained.loss


def _images(setting, job, classes, least):
    """Return the images in a job's shards and its counts, once they fit each other.

    An episode takes `classes` classes with `least` images each.
    """
    capacity, shape = setting.capacity, setting.model.image_shape
    fitting = functools.partial(refusals.of_images, job, capacity, math.prod(shape), classes, least)
    images = read_shards(job.shards, capacity, shape, fitting)
    with tf.control_dependencies([images]):  # an episode draws by the counts before it takes images
        return images, tf.identity(job.counts)


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
