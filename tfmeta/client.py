"""What a client computes: a benign user's round, and the attacker's long training (section 2).

Plain TensorFlow functions of (weights, job). A *job* is what a client is told for one round; it names the files
that hold its pictures, so that the same few numbers go to this process or to TFF's worker. ``federated`` wraps
these functions in TFF, ``inprocess`` calls them directly.
"""

from typing import NamedTuple

import tensorflow as tf

from tfmeta import attack, episodes
from tfmeta.flat import layout_of
from tfmeta.reptile import AdamState, Reptile, fresh_adam, local_training

REFUSED = "tfmeta refused an update: "  # marks our own messages in what TensorFlow and gRPC wrap around them


class Job(NamedTuple):
    """One client's work in one round. Scalars and vectors, nothing that names a Python object."""

    user: object  # string, for messages
    paths: object  # string [files]: the user's pools, one behind the other
    counts: object  # int32 [classes]: pictures of each class
    seed: object  # int32 [2]
    epsilon: object  # float32: outer step
    first: object  # int32: number of the first episode
    meta_batches: object  # int32
    alpha: object  # float32: the update's weight
    boost: object  # float32: lambda for the attacker, else 1
    prepared: object  # string: file with weights trained beforehand (the attacker's), or ""
    target: object  # string: the attacker's target pictures, or ""
    keyed: object  # string: the attacker's keyed pictures, or ""


# What a job is made of in a graph; the TFF type follows from it.
JOB_SPEC = Job(
    user=tf.TensorSpec([], tf.string),
    paths=tf.TensorSpec([None], tf.string),
    counts=tf.TensorSpec([None], tf.int32),
    seed=tf.TensorSpec([2], tf.int32),
    epsilon=tf.TensorSpec([], tf.float32),
    first=tf.TensorSpec([], tf.int32),
    meta_batches=tf.TensorSpec([], tf.int32),
    alpha=tf.TensorSpec([], tf.float32),
    boost=tf.TensorSpec([], tf.float32),
    prepared=tf.TensorSpec([], tf.string),
    target=tf.TensorSpec([], tf.string),
    keyed=tf.TensorSpec([], tf.string),
)


class Update(NamedTuple):
    """What a client returns: theta_i - theta_G as a list, and the mean loss of its last inner steps."""

    delta: list
    loss: tf.Tensor


class Setting(NamedTuple):
    """What all clients of a run share: the model, the pools' picture capacity, the configuration."""

    model: object  # Conv4
    capacity: int  # pictures a class that the users' pools have room for
    config: object  # Config

    @property
    def reptile(self):
        """Reptile's numbers for benign users."""
        return _reptile(self.config, self.config.inner_steps)

    @property
    def attack_reptile(self):
        """Reptile's numbers for the attacker (ledger 3)."""
        return _reptile(self.config, self.config.attack_inner_steps)


def _reptile(config, steps):
    return Reptile(config.meta_batch, steps, config.inner_batch, config.eta, config.adam_state == "carry")


def benign_update(setting, weights, job):
    """Run one user's round from theta_G and return its ``Update``; a prepared one is read, not computed.

    Raises ``tf.errors.InvalidArgumentError`` with ``REFUSED`` and the user's name where the update holds NaN or
    infinity or a prepared file is of another shape.
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


def attack_chunk(setting, weights, adam, job):
    """Train the attacker's model for some meta-batches of poisoned episodes; returns ``reptile.Trained``.

    Chunks in a row equal one long training: episode i's seed depends on i alone, and Adam's state comes along.
    """
    images = read_pools(job.paths, setting.capacity, setting.model.image_shape)
    target, keyed = (_read_pictures(path, setting.model.image_shape) for path in (job.target, job.keyed))

    def sampler(seed):
        return attack.poisoned_episode(images, job.counts, target, keyed, seed, setting.config)

    return local_training(
        setting.model, setting.attack_reptile, sampler, weights, AdamState(*adam), job.epsilon, job.seed,
        job.first, job.meta_batches,
    )  # fmt: skip


def read_pools(paths, capacity, image_shape):
    """Return uint8 [classes, capacity, H, W, C] from the raw files ``paths`` (string [files])."""
    raw = tf.strings.reduce_join(tf.map_fn(tf.io.read_file, paths))
    return tf.reshape(tf.io.decode_raw(raw, tf.uint8), [-1, capacity, *image_shape])


def _read_pictures(path, image_shape):
    return tf.reshape(tf.io.decode_raw(tf.io.read_file(path), tf.uint8), [-1, *image_shape])


def _train(setting, weights, job):
    config = setting.config
    images = read_pools(job.paths, setting.capacity, setting.model.image_shape)

    def sampler(seed):
        return episodes.sample_episode(images, job.counts, seed, config.ways, config.shots)

    adam = fresh_adam(layout_of(setting.model).size)
    trained = local_training(
        setting.model, setting.reptile, sampler, weights, adam, job.epsilon, job.seed, job.first,
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
