"""The federation without TFF: the same rounds in this process, which may use a GPU (TFF's worker cannot)."""

import functools

import numpy as np
import tensorflow as tf

from tfmeta import registry
from tfmeta.federated import clients
from tfmeta.meta_learning.adam import AdamState
from tfmeta.models.conv4 import check_weights
from tfmeta.models.flat import layout_of


class InProcessFederation:
    """Rounds in this process; the same interface as ``federated.federation.TffFederation``."""

    def __init__(self, setting):
        self._setting = setting
        theta = [tf.TensorSpec(shape, tf.float32) for shape in setting.model.shapes]
        moments = tf.TensorSpec([layout_of(setting.model).size], tf.float32)
        adam = AdamState(moments, tf.TensorSpec([], tf.float32))
        # declared, so that banks with other numbers of classes do not trace the graphs again
        self._update = tf.function(
            functools.partial(clients.benign_update, setting), [theta, clients.JOB_SPEC], autograph=False
        )
        self._chunk = tf.function(
            functools.partial(clients.attack_chunk, setting), [theta, adam, clients.JOB_SPEC], autograph=False
        )

    def start(self, weights):
        """Return the state of a federation whose model is ``weights``."""
        return [np.asarray(weight, np.float32) for weight in weights]

    def next(self, state, jobs):
        """Run one round; return the next state and the mean loss. `state` itself does not change."""
        config, total, losses = self._setting.config, [np.zeros_like(weight) for weight in state], []
        aggregation = registry.load("aggregations", config.federation.aggregation)
        for job in jobs:
            update = self._call(self._update, [tf.constant(weight) for weight in state], _tensors(job))
            delta = [part.numpy() for part in update.delta]
            check_weights(self._setting.model, delta, f"update of {job.user}")
            boosted = [part * np.float32(job.boost) for part in delta]
            added = aggregation.numpy_rule(boosted, config)
            total = [done + part for done, part in zip(total, added, strict=True)]
            losses.append(float(update.loss))
        alpha = np.float32(config.federation.alpha)
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
            raise clients.refusal(error) or error from error


def _tensors(job):
    return clients.Job(*(tf.constant(value) for value in job))
