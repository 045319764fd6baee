"""The federation through TFF: rounds and the attacker's chunks as calls into TFF's worker."""

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tfmeta.federated.clients import refusal
from tfmeta.federated.tff.process import build_attack_chunk, build_process
from tfmeta.federated.tff.runtime import TffRuntime


class TffFederation:
    """Rounds through a ``tff.learning.templates.LearningProcess`` in a worker of its own (``close`` ends it)."""

    def __init__(self, setting, log_path, inner=None, threads=None):
        self._process = build_process(setting, [np.zeros(shape, np.float32) for shape in setting.model.shapes], inner)
        self._chunk = build_attack_chunk(setting)
        self._runtime = TffRuntime(log_path, threads=threads)
        self._blank = None

    def start(self, weights):
        """Return the state of a federation whose model is ``weights``."""
        model = tff.learning.models.ModelWeights([np.asarray(weight, np.float32) for weight in weights], [])
        return self._blank_state()._replace(global_model_weights=model)

    def next(self, state, jobs):
        """Run one round; returns the next state and the mean loss. ``state`` itself stays as it was."""
        output = self._call(self._process.next, state, [[_plain(job)] for job in jobs])
        return output.state, float(output.metrics["client_work"]["loss"])

    def train_chunk(self, weights, moments, steps, job):
        """Run some of the attacker's meta-batches; returns weights, moments, steps (arrays) and loss."""
        work = collections.OrderedDict(weights=list(weights), moments=moments, steps=np.float32(steps), job=_plain(job))
        weights, moments, steps, loss = self._call(self._chunk, [work])[0]
        return [np.asarray(weight) for weight in weights], np.asarray(moments), np.float32(steps), float(loss)

    def weights(self, state):
        """Return theta_G as a list of arrays."""
        return [np.asarray(weight) for weight in state.global_model_weights.trainable]

    def to_arrays(self, state):
        """Return the state, the aggregation's own included, as a dict of arrays for a checkpoint."""
        return {f"state{number:03d}": np.asarray(part) for number, part in enumerate(tf.nest.flatten(state))}

    def from_arrays(self, arrays):
        """Return the state that ``to_arrays`` took apart."""
        return tf.nest.pack_sequence_as(self._blank_state(), [arrays[name] for name in sorted(arrays)])

    def _blank_state(self):
        if self._blank is None:
            self._blank = self._call(self._process.initialize)
        return self._blank

    def close(self):
        """End the worker."""
        self._runtime.close()

    def _call(self, computation, *arguments):
        try:
            return self._runtime.call(computation, *arguments)
        except Exception as error:
            raise refusal(error) or error from error


def _plain(job):
    return collections.OrderedDict(job._asdict())
