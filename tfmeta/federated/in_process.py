"""The federation without TFF: the same rounds in this process, which may use a GPU (TFF's worker cannot)."""

import contextlib
import functools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfmeta import registry
from tfmeta.aggregations.agreement import checked
from tfmeta.errors import ModelError
from tfmeta.federated import clients
from tfmeta.federated.checks import BEFORE, after, refusing
from tfmeta.meta_learning.adam import AdamState
from tfmeta.models.base import check_weights
from tfmeta.models.flat import layout_of


class InProcessFederation(contextlib.AbstractContextManager):
    """Rounds in this process, with the methods of `TffFederation`; use it in a `with` statement, or call `close`.

    The server's state is a value (here theta_G as a list of arrays). No method changes the state that it is given, so
    a round that failed can be repeated.
    """

    def __init__(self, setting: clients.Setting):
        self._setting = setting
        theta = [tf.TensorSpec(shape, tf.float32) for shape in setting.model.shapes]
        adam = AdamState(tf.TensorSpec([layout_of(setting.model).size], tf.float32), tf.TensorSpec([], tf.float32))

        def graph(function, *signature):
            # with a declared signature, data with other numbers of classes does not trace the graph again
            return tf.function(functools.partial(function, setting), [theta, *signature], autograph=False)

        self._update = graph(clients.client_update, clients.JOB_SPEC)
        self._chunk = graph(clients.attack_chunk, adam, theta, clients.JOB_SPEC)

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, weights: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the state of a federation whose model is `weights` (arrays in the model's shapes)."""
        return [np.asarray(weight, np.float32) for weight in weights]

    def next(self, state: list[np.ndarray], jobs: Sequence[clients.Job]) -> tuple[list[np.ndarray], float]:
        """Run one round, with one job per client; return the next state and the clients' mean loss.

        Raises:
            ClientUpdateError: A job does not pass `check_jobs`, or a client sent NaN, infinity, an update of another
                size or one above `federation.max_update_norm`; names the user.
            ModelError: The state holds NaN or infinity, or the aggregation made some; names the aggregation.
            PluginError: The aggregation's numpy rule returned something else than an update.
        """
        config, updates, losses = self._setting.config, [], []
        aggregation = registry.build("aggregations", config)
        check_weights(self._setting.model, state, BEFORE, ModelError)
        with refusing(self._setting, jobs):
            for job in jobs:
                update = self._update(_tensors(state), clients.Job(*_tensors(job)))
                updates.append([part.numpy() * np.float32(job.boost) for part in update.delta])
                losses.append(float(update.loss))
        total = checked(aggregation.NAME, "numpy_rule", aggregation.numpy_rule(updates), [part.shape for part in state])
        alpha = np.float32(config.federation.alpha)
        moved = [weight + alpha * part for weight, part in zip(state, total, strict=True)]
        check_weights(self._setting.model, moved, after(jobs, aggregation.NAME), ModelError)
        return moved, float(np.mean(losses))

    def train_chunk(
        self, weights: Sequence[np.ndarray], moments: np.ndarray, steps: float, job: clients.Job,
        start: Sequence[np.ndarray] | None = None,
    ) -> tuple[list[np.ndarray], np.ndarray, np.float32, float]:  # fmt: skip
        """Run an attacker's meta-batches of `job`; return weights, Adam's moments (float32 [size]), steps and loss.

        `start` is theta_G, by default `weights`. Raises `ClientUpdateError`, which names the user, for a job that
        does not pass `check_jobs`, a label out of range, and NaN.
        """
        adam = AdamState(*_tensors((moments, np.float32(steps))))
        begin = _tensors(weights if start is None else start)
        with refusing(self._setting, [job], chunk=True):
            trained = self._chunk(_tensors(weights), adam, begin, clients.Job(*_tensors(job)))
        weights = [weight.numpy() for weight in trained.weights]
        return weights, trained.adam.moments.numpy(), trained.adam.steps.numpy(), float(trained.loss)

    def weights(self, state: list[np.ndarray]) -> list[np.ndarray]:
        """Return theta_G as a list of float32 arrays."""
        return list(state)

    def to_arrays(self, state: list[np.ndarray]) -> dict[str, np.ndarray]:
        """Return the whole state as named arrays, for a checkpoint."""
        return {f"state{number:03d}": part for number, part in enumerate(state)}

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Return the state that `to_arrays` took apart."""
        return [arrays[name] for name in sorted(arrays)]

    def close(self) -> None:
        """Do nothing: there is no worker."""


def _tensors(values):
    return [tf.constant(value) for value in values]
