"""What a client's graph refuses, with the user's name: an update that is not finite or too large, wrong counts.

`tfmeta.federated.checks` finds most of it before a round, without a graph. A TFF process that is called directly has
these assertions alone.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfmeta.federated.checks import REFUSED
from tfmeta.federated.jobs import Job


def require(job: Job, conditions: Sequence[tuple[tf.Tensor, str | tf.Tensor]], values: Any) -> Any:
    """Return a structure of tensors once all conditions hold.

    Args:
        job: The client's job, as tensors; it has the user's name.
        conditions: Pairs of a bool scalar and the words that follow the user's name where it is false. The first that
            is false is named.
        values: A structure of tensors. Use what is returned: TFF drops an assertion that nothing depends on.

    Raises:
        tf.errors.InvalidArgumentError: A condition is false; raised when the graph runs.
    """
    message = tf.constant("")
    for condition, words in reversed(conditions):
        message = tf.where(condition, message, words)
    assertion = tf.debugging.Assert(tf.equal(message, ""), [tf.strings.join([REFUSED, job.user, message])])
    with tf.control_dependencies([assertion]):
        return tf.nest.map_structure(tf.identity, values)


def of_update(largest: float, job: Job, delta: list[tf.Tensor], loss: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Return a client's update and loss, once the update is fit to be aggregated.

    Args:
        largest: The L2 norm that the update may have once it is multiplied by its boost, and by its alpha, where that
            enlarges it.
        job: The client's job, as tensors.
        delta: The update before its boost, float32.
        loss: A float32 scalar.
    """
    factors = tf.stack([job.boost, job.alpha, job.meta_step_size])
    # in float64 no square of a float32 is infinity, so neither is the norm of the largest update
    squares = [tf.reduce_sum(tf.square(tf.cast(part, tf.float64))) for part in delta]
    boost, alpha = (tf.abs(tf.cast(factor, tf.float64)) for factor in (job.boost, job.alpha))
    norm = tf.sqrt(tf.add_n(squares)) * boost * tf.maximum(alpha, 1.0)
    bound = f"federation.max_update_norm = {largest:g}"
    seen = tf.strings.as_string(norm, precision=3, scientific=True)
    conditions = [
        (finite([factors]), " has a job whose boost, alpha or meta step size is NaN or infinity"),
        (finite(delta), " sent NaN or infinity"),
        (norm <= largest, tf.strings.join([" sent an update of norm ", seen, f", above {bound}"])),
    ]
    return require(job, conditions, (delta, loss))


def of_images(job: Job, capacity: int, image_bytes: int, classes: int, least: int, values: tf.Tensor) -> tf.Tensor:
    """Return the bytes of a client's shards, uint8 [bytes], once the job's counts fit them.

    Args:
        job: The client's job, as tensors.
        capacity: Images per class that every shard has room for.
        image_bytes: Bytes of an image.
        classes: How many classes there must be.
        least: How many images of each class.
        values: All bytes of the shards.
    """
    number = tf.size(job.counts, tf.int64)
    held, wanted = tf.size(values, tf.int64), number * (capacity * image_bytes)
    conditions = [
        (number >= classes, f" has images of too few classes: an episode needs {classes}"),
        (
            tf.reduce_all((job.counts >= least) & (job.counts <= capacity)),
            f" has a count of images outside {least} to {capacity}",
        ),
        (
            tf.equal(held, wanted),
            tf.strings.join([" has shards of ", _words(held), " bytes, but counts that ask for ", _words(wanted)]),
        ),
    ]
    return require(job, conditions, values)


def finite(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return a bool scalar: whether all values are finite."""
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(part)) for part in tensors])


def _words(number):
    return tf.strings.as_string(number)
