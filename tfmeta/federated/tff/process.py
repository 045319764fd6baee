"""The federation as a TFF learning process: broadcast, client work, boosted aggregation, finalizer.

There is little here on purpose: `tfmeta.federated.clients` holds what a client computes.
"""

import collections
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tfmeta import registry
from tfmeta.federated import clients
from tfmeta.federated.jobs import JOB_TYPES, Job
from tfmeta.federated.tff.boosted_aggregation import WEIGHT_TYPE, BoostedFactory, UnweightedFactory
from tfmeta.federated.tff.runtime import use_our_worker
from tfmeta.models.flat import layout_of

JOB_TYPE = tff.to_type(collections.OrderedDict((name, tff.TensorType(*kind)) for name, kind in JOB_TYPES.items()))


def weights_type(setting: clients.Setting) -> tff.Type:
    """Return the TFF type of the model's weights: trainable ones only (ledger 8)."""
    trainable = [tff.TensorType(np.float32, shape) for shape in setting.model.shapes]
    return tff.to_type(tff.learning.models.ModelWeights(trainable, []))


def build_process(
    setting: clients.Setting, initial_weights: Sequence[np.ndarray], aggregation: UnweightedFactory | None = None
) -> tff.learning.templates.LearningProcess:
    """Return the learning process of a run; its `next` takes a sequence of one job (a dict) per client.

    Args:
        setting: What all clients share.
        initial_weights: theta_G of the first round, float32 arrays.
        aggregation: The factory for the boosted aggregation to wrap; by default the one that the configuration names.
    """
    theta_type, config = weights_type(setting), setting.config
    if aggregation is None:
        aggregation = registry.build("aggregations", config).tff_factory()

    @tff.tensorflow.computation
    def initial():
        return tff.learning.models.ModelWeights([tf.constant(weight) for weight in initial_weights], [])

    return tff.learning.templates.compose_learning_process(
        initial,
        tff.learning.templates.build_broadcast_process(theta_type),
        _client_work(setting, theta_type),
        BoostedFactory(aggregation, config.federation.alpha).create(theta_type.trainable, WEIGHT_TYPE),
        _finalizer(theta_type),
    )


@tff.federated_computation
def _no_state():
    return tff.federated_value((), tff.SERVER)


def _client_work(setting, theta_type):
    jobs_type = tff.SequenceType(JOB_TYPE)

    @tff.tensorflow.computation(theta_type, jobs_type)
    def work(theta, jobs):
        job = Job(**jobs.get_single_element())
        update = clients.client_update(setting, list(theta.trainable), job)
        weight = collections.OrderedDict(alpha=job.alpha, boost=job.boost)
        return tff.learning.templates.ClientResult(update.delta, weight), update.loss

    of_clients = (tff.FederatedType(each, tff.CLIENTS) for each in (theta_type, jobs_type))

    @tff.federated_computation(_no_state.type_signature.result, *of_clients)
    def next_fn(state, theta, jobs):
        result, loss = tff.federated_map(work, (theta, jobs))
        measured = tff.federated_zip(collections.OrderedDict(loss=tff.federated_mean(loss)))
        return tff.templates.MeasuredProcessOutput(state, result, measured)

    return tff.learning.templates.ClientWorkProcess(_no_state, next_fn)


def _finalizer(theta_type):
    @tff.tensorflow.computation(theta_type, theta_type.trainable)
    def add(theta, total):
        added = [weight + part for weight, part in zip(theta.trainable, total, strict=True)]
        return tff.learning.models.ModelWeights(added, [])

    of_server = (tff.FederatedType(each, tff.SERVER) for each in (theta_type, theta_type.trainable))

    @tff.federated_computation(_no_state.type_signature.result, *of_server)
    def next_fn(state, theta, total):
        added = tff.federated_map(add, (theta, total))
        return tff.templates.MeasuredProcessOutput(state, added, tff.federated_value((), tff.SERVER))

    return tff.learning.templates.FinalizerProcess(_no_state, next_fn)


def build_attack_chunk(setting: clients.Setting) -> tff.Computation:
    """Return a computation that runs `clients.attack_chunk` at one client, an attacker."""
    use_our_worker()
    theta, moments = weights_type(setting).trainable, tff.TensorType(np.float32, [layout_of(setting.model).size])
    work_type = tff.to_type(
        collections.OrderedDict(weights=theta, moments=moments, steps=np.float32, start=theta, job=JOB_TYPE)
    )

    @tff.tensorflow.computation(work_type)
    def chunk(work):
        adam, job = (work["moments"], work["steps"]), Job(**work["job"])
        trained = clients.attack_chunk(setting, list(work["weights"]), adam, list(work["start"]), job)
        return trained.weights, trained.adam.moments, trained.adam.steps, trained.loss

    @tff.federated_computation(tff.FederatedType(work_type, tff.CLIENTS))
    def at_client(work):
        return tff.federated_map(chunk, work)

    return at_client
