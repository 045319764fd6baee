"""The federation without TFF: the same rounds in this process, which may use a GPU (TFF's worker cannot)."""

import functools
import re

import numpy as np
import tensorflow as tf

from tfmeta import client
from tfmeta.errors import ClientUpdateError
from tfmeta.flat import layout_of
from tfmeta.models.conv4 import check_weights
from tfmeta.reptile import AdamState


def _l2_norm(delta):
    return np.sqrt(sum(np.sum(np.square(part, dtype=np.float64)) for part in delta))


def clipped(delta, norm):
    """Scale a delta (list of arrays) down to an L2 norm."""
    length = _l2_norm(delta)
    return [part * np.float32(min(1.0, norm / length)) if length else part for part in delta]


def zeroed(delta, norm):
    """Replace a delta whose L2 norm is above ``norm`` by zeros."""
    return [np.zeros_like(part) for part in delta] if _l2_norm(delta) > norm else delta


# name of Config.aggregation -> what is done to each boosted delta before they are summed
TREATMENTS = {"sum": lambda delta, _: delta, "clipping": clipped, "zeroing": zeroed}


class InProcessFederation:
    """Rounds in this process; the same interface as ``federated.federation.TffFederation``."""

    def __init__(self, setting):
        self._setting = setting
        theta = [tf.TensorSpec(shape, tf.float32) for shape in setting.model.shapes]
        moments = tf.TensorSpec([layout_of(setting.model).size], tf.float32)
        adam = AdamState(moments, tf.TensorSpec([], tf.float32))
        # declared, so that banks with other numbers of classes do not trace the graphs again
        self._update = tf.function(
            functools.partial(client.benign_update, setting), [theta, client.JOB_SPEC], autograph=False
        )
        self._chunk = tf.function(
            functools.partial(client.attack_chunk, setting), [theta, adam, client.JOB_SPEC], autograph=False
        )

    def start(self, weights):
        """Return the state of a federation whose model is ``weights``."""
        return [np.asarray(weight, np.float32) for weight in weights]

    def next(self, state, jobs):
        """Run one round; returns the next state and the mean loss. ``state`` itself stays as it was."""
        total, losses = [np.zeros_like(weight) for weight in state], []
        for job in jobs:
            update = self._call(self._update, [tf.constant(weight) for weight in state], _tensors(job))
            delta = [part.numpy() for part in update.delta]
            check_weights(self._setting.model, delta, f"update of {job.user}")
            config = self._setting.config
            boosted = [part * np.float32(job.boost) for part in delta]
            treated = TREATMENTS[config.aggregation](boosted, config.aggregation_norm)
            total = [done + part for done, part in zip(total, treated, strict=True)]
            losses.append(float(update.loss))
        alpha = np.float32(self._setting.config.alpha)
        return [weight + alpha * part for weight, part in zip(state, total, strict=True)], float(np.mean(losses))

    def train_chunk(self, weights, moments, steps, job):
        """Run some of the attacker's meta-batches; returns weights, moments, steps (arrays) and loss."""
        adam = AdamState(tf.constant(moments), tf.constant(np.float32(steps)))
        trained = self._call(self._chunk, [tf.constant(weight) for weight in weights], adam, _tensors(job))
        weights = [weight.numpy() for weight in trained.weights]
        return weights, trained.adam.moments.numpy(), trained.adam.steps.numpy(), float(trained.loss)

    def weights(self, state):
        """Return theta_G as a list of arrays."""
        return list(state)

    def to_arrays(self, state):
        """Return the state as a dict of arrays, for a checkpoint."""
        return {f"state{number:03d}": part for number, part in enumerate(state)}

    def from_arrays(self, arrays):
        """Return the state that ``to_arrays`` took apart."""
        return [arrays[name] for name in sorted(arrays)]

    def close(self):
        """Free nothing: there is no worker."""

    @staticmethod
    def _call(function, *arguments):
        try:
            return function(*arguments)
        except tf.errors.InvalidArgumentError as error:
            raise refusal(error) or error from error


def _tensors(job):
    return client.Job(*(tf.constant(value) for value in job))


def refusal(error):
    """Return the ``ClientUpdateError`` that an error from inside a client's graph stands for, or None."""
    found = re.search(re.escape(client.REFUSED) + r"[^\]\"\\\n]*", str(error))
    return (
        ClientUpdateError(found.group().strip() + "; the round failed and the state stays as it was") if found else None
    )
