"""The federation through TFF: rounds and the attacker's chunks as calls into TFF's worker."""

import collections
import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tfmeta.federated import clients
from tfmeta.federated.tff.process import build_attack_chunk, build_process
from tfmeta.federated.tff.runtime import TffRuntime

State = tff.learning.templates.LearningAlgorithmState


class TffFederation(contextlib.AbstractContextManager):
    """Rounds of a TFF learning process in a worker of our own, with the methods of `InProcessFederation`.

        with TffFederation(setting, "worker.log", aggregation=tff.aggregators.SumFactory()) as federation:
            state = federation.start(weights)
            state, loss = federation.next(state, jobs)

    Args:
        setting: What all clients share.
        log_path: File for the worker's output.
        aggregation: Any unweighted `tff.aggregators` factory for the boosted aggregation to wrap; by default the one
            that `federation.aggregation` names.
        threads: Operations that the worker runs at once; by default one per core.
    """

    def __init__(
        self,
        setting: clients.Setting,
        log_path: Path | str,
        aggregation: tff.aggregators.UnweightedAggregationFactory | None = None,
        threads: int | None = None,
    ):
        blank = [np.zeros(shape, np.float32) for shape in setting.model.shapes]
        self._process = build_process(setting, blank, aggregation)
        self._chunk = build_attack_chunk(setting)
        self._runtime = TffRuntime(log_path, threads)
        self._blank = None

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, weights: Sequence[np.ndarray]) -> State:
        """Return the state of a federation whose model is `weights`."""
        model = tff.learning.models.ModelWeights([np.asarray(weight, np.float32) for weight in weights], [])
        return self._blank_state()._replace(global_model_weights=model)

    def next(self, state: State, jobs: Sequence[clients.Job]) -> tuple[State, float]:
        """Run one round; return the next state and the mean loss; raises `ClientUpdateError` or `WorkerError`."""
        output = self._call(self._process.next, state, [[_plain(job)] for job in jobs])
        return output.state, float(output.metrics["client_work"]["loss"])

    def train_chunk(
        self, weights: Sequence[np.ndarray], moments: np.ndarray, steps: float, job: clients.Job
    ) -> tuple[list[np.ndarray], np.ndarray, np.float32, float]:
        """Run some of the attacker's meta-batches; return weights, moments, steps and loss."""
        work = collections.OrderedDict(weights=list(weights), moments=moments, steps=np.float32(steps), job=_plain(job))
        weights, moments, steps, loss = self._call(self._chunk, [work])[0]
        return [np.asarray(weight) for weight in weights], np.asarray(moments), np.float32(steps), float(loss)

    def weights(self, state: State) -> list[np.ndarray]:
        """Return theta_G."""
        return [np.asarray(weight) for weight in state.global_model_weights.trainable]

    def to_arrays(self, state: State) -> dict[str, np.ndarray]:
        """Return the state, the aggregation's part included, as named arrays for a checkpoint."""
        return {f"state{number:03d}": np.asarray(part) for number, part in enumerate(tf.nest.flatten(state))}

    def from_arrays(self, arrays: dict[str, np.ndarray]) -> State:
        """Return the state that `to_arrays` took apart."""
        return tf.nest.pack_sequence_as(self._blank_state(), [arrays[name] for name in sorted(arrays)])

    def close(self) -> None:
        """End the worker; the next round starts another."""
        self._runtime.close()

    def _blank_state(self):
        if self._blank is None:
            self._blank = self._call(self._process.initialize)
        return self._blank

    def _call(self, computation, *arguments):
        with clients.refusals():
            return self._runtime.call(computation, *arguments)


def _plain(job):
    return collections.OrderedDict(job._asdict())
