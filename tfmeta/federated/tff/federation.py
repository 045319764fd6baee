"""The federation through TFF: rounds and the attacker's chunks as calls into TFF's worker."""

import contextlib
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tfmeta.errors import ModelError
from tfmeta.federated import clients
from tfmeta.federated.checks import BEFORE, after, refusing
from tfmeta.federated.tff.boosted_aggregation import UnweightedFactory
from tfmeta.federated.tff.process import build_attack_chunk, build_process
from tfmeta.federated.tff.runtime import TffRuntime
from tfmeta.models.base import check_weights

State = tff.learning.templates.LearningAlgorithmState


class TffFederation(contextlib.AbstractContextManager):
    """Rounds of a TFF learning process in a worker of our own, with the methods of `InProcessFederation`.

        with TffFederation(setting, "worker.log") as federation:
            state = federation.start(weights)
            state, loss = federation.next(state, jobs)

    Args:
        setting: What all clients share.
        log_path: File for the worker's output.
        aggregation: Any unweighted `tff.aggregators` factory for the boosted aggregation to wrap; by default the one
            that `federation.aggregation` names.
        threads: Operations that the worker runs at once; by default one per core.
        worker_timeout: Seconds without progress after which the worker is ended; None: never.
        allow_open_port: Whether the worker may listen on a network port where it cannot be shut off from the network.
    """

    def __init__(
        self, setting: clients.Setting, log_path: Path | str, aggregation: UnweightedFactory | None = None,
        threads: int | None = None, *, worker_timeout: float | None = None, allow_open_port: bool = False,
    ):  # fmt: skip
        limits = dict(worker_timeout=worker_timeout, allow_open_port=allow_open_port)
        self._runtime = TffRuntime(log_path, threads, **limits)  # first, since it refuses limits that make no sense
        blank = [np.zeros(shape, np.float32) for shape in setting.model.shapes]
        self._setting = setting
        self._aggregation = setting.config.federation.aggregation if aggregation is None else type(aggregation).__name__
        self._process = build_process(setting, blank, aggregation)
        self._chunk = build_attack_chunk(setting)

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, weights: Sequence[np.ndarray]) -> State:
        """Return the state of a federation whose model is `weights`."""
        weights = [np.asarray(weight, np.float32) for weight in weights]
        return self._blank._replace(global_model_weights=tff.learning.models.ModelWeights(weights, []))

    def next(self, state: State, jobs: Sequence[clients.Job]) -> tuple[State, float]:
        """Run one round, with one job per client; return the next state and the clients' mean loss.

        Raises:
            ClientUpdateError: A job does not pass `check_jobs`, or a client sent NaN, infinity, an update of another
                size or one above `federation.max_update_norm`; names the user.
            ModelError: The state holds NaN or infinity, or the aggregation made some; names the aggregation.
            WorkerError: The worker died.
        """
        model = self._setting.model
        check_weights(model, self.weights(state), BEFORE, ModelError)
        with refusing(self._setting, jobs):
            output = self._runtime.call(self._process.next, state, [[job._asdict()] for job in jobs])
        # an aggregation's own state may hold infinity by right, so it is the weights alone that are looked at
        check_weights(model, self.weights(output.state), after(jobs, self._aggregation), ModelError)
        return output.state, float(output.metrics["client_work"]["loss"])

    def train_chunk(
        self, weights: Sequence[np.ndarray], moments: np.ndarray, steps: float, job: clients.Job,
        start: Sequence[np.ndarray] | None = None,
    ) -> tuple[list[np.ndarray], np.ndarray, np.float32, float]:  # fmt: skip
        """Run an attacker's meta-batches of `job`; return weights, Adam's moments (float32 [size]), steps and loss.

        `start` is theta_G, by default `weights`. Raises `ClientUpdateError`, which names the user, for a job that
        does not pass `check_jobs`, a label out of range, and NaN.
        """
        begin = list(weights if start is None else start)
        work = dict(weights=list(weights), moments=moments, steps=np.float32(steps), start=begin, job=job._asdict())
        with refusing(self._setting, [job], chunk=True):
            weights, moments, steps, loss = self._runtime.call(self._chunk, [work])[0]
        return [np.asarray(weight) for weight in weights], np.asarray(moments), np.float32(steps), float(loss)

    def weights(self, state: State) -> list[np.ndarray]:
        """Return theta_G."""
        return [np.asarray(weight) for weight in state.global_model_weights.trainable]

    def to_arrays(self, state: State) -> dict[str, np.ndarray]:
        """Return the state, the aggregation's part included, as named arrays for a checkpoint."""
        return {f"state{number:03d}": np.asarray(part) for number, part in enumerate(tf.nest.flatten(state))}

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> State:
        """Return the state that `to_arrays` took apart."""
        return tf.nest.pack_sequence_as(self._blank, [arrays[name] for name in sorted(arrays)])

    def close(self) -> None:
        """End the worker; the next round starts another."""
        self._runtime.close()

    @functools.cached_property
    def _blank(self):
        return self._runtime.call(self._process.initialize)
