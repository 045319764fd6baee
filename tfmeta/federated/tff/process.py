"""The federation as a TFF learning process: broadcast, client work, boosted aggregation, finalizer.

Thin on purpose: what a client computes is in ``tfmeta.federated.clients``, and a test shows that a round through TFF equals
the same functions and numpy.
"""

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tfmeta import registry
from tfmeta.federated import clients
from tfmeta.federated.jobs import JOB_TYPES, Job
from tfmeta.federated.tff.boosted_aggregation import WEIGHT_TYPE, BoostedFactory
from tfmeta.models.flat import layout_of

JOB_TYPE = tff.to_type(
    collections.OrderedDict((name, tff.TensorType(kind, shape)) for name, (kind, shape) in JOB_TYPES.items())
)


def weights_type(setting):
    """Return the TFF type of the model's weights: trainable ones only (ledger 8)."""
    trainable = [tff.TensorType(np.float32, shape) for shape in setting.model.shapes]
    return tff.to_type(tff.learning.models.ModelWeights(trainable, []))


def build_process(setting, initial_weights, inner=None):
    """Return the ``tff.learning.templates.LearningProcess`` of a run.

    Args:
      setting: ``client.Setting``.
      initial_weights: list of arrays, theta_G of the first round.
      inner: an unweighted ``tff.aggregators`` factory for the boosted aggregation to wrap; by default the one
        that the configuration names.

    ``next(state, clients)`` takes one sequence a client, of one job each (``client.Job`` as a dict).
    """
    theta_type = weights_type(setting)

    @tff.tensorflow.computation
    def initial():
        return tff.learning.models.ModelWeights([tf.constant(weight) for weight in initial_weights], [])

    aggregator = BoostedFactory(
        registry.load("aggregations", setting.config.federation.aggregation).tff_factory(setting.config) if inner is None else inner, alpha=setting.config.federation.alpha
    ).create(theta_type.trainable, WEIGHT_TYPE)
    return tff.learning.templates.compose_learning_process(
        initial,
        tff.learning.templates.build_broadcast_process(theta_type),
        _client_work(setting, theta_type),
        aggregator,
        _finalizer(theta_type),
    )


def _client_work(setting, theta_type):
    @tff.tensorflow.computation(theta_type, tff.SequenceType(JOB_TYPE))
    def work(theta, jobs):
        job = Job(**jobs.get_single_element())
        update = clients.benign_update(setting, list(theta.trainable), job)
        weight = collections.OrderedDict(alpha=job.alpha, boost=job.boost)
        return tff.learning.templates.ClientResult(update.delta, weight), update.loss

    @tff.federated_computation
    def initialize():
        return tff.federated_value((), tff.SERVER)

    @tff.federated_computation(
        initialize.type_signature.result,
        tff.FederatedType(theta_type, tff.CLIENTS),
        tff.FederatedType(tff.SequenceType(JOB_TYPE), tff.CLIENTS),
    )
    def next_fn(state, theta, jobs):
        result, loss = tff.federated_map(work, (theta, jobs))
        measured = tff.federated_zip(collections.OrderedDict(loss=tff.federated_mean(loss)))
        return tff.templates.MeasuredProcessOutput(state, result, measured)

    return tff.learning.templates.ClientWorkProcess(initialize, next_fn)


def _finalizer(theta_type):
    @tff.tensorflow.computation(theta_type, theta_type.trainable)
    def add(theta, total):
        return tff.learning.models.ModelWeights(
            [weight + part for weight, part in zip(theta.trainable, total, strict=True)], []
        )

    @tff.federated_computation
    def initialize():
        return tff.federated_value((), tff.SERVER)

    @tff.federated_computation(
        initialize.type_signature.result,
        tff.FederatedType(theta_type, tff.SERVER),
        tff.FederatedType(theta_type.trainable, tff.SERVER),
    )
    def next_fn(state, theta, total):
        return tff.templates.MeasuredProcessOutput(
            state, tff.federated_map(add, (theta, total)), tff.federated_value((), tff.SERVER)
        )

    return tff.learning.templates.FinalizerProcess(initialize, next_fn)


def build_attack_chunk(setting):
    """Return a computation that runs ``client.attack_chunk`` at one client, the attacker."""
    size = layout_of(setting.model).size
    work_type = tff.to_type(
        collections.OrderedDict(
            weights=weights_type(setting).trainable,
            moments=tff.TensorType(np.float32, [size]),
            steps=np.float32,
            job=JOB_TYPE,
        )
    )

    @tff.tensorflow.computation(work_type)
    def chunk(work):
        job = Job(**work["job"])
        trained = clients.attack_chunk(setting, list(work["weights"]), (work["moments"], work["steps"]), job)
        return trained.weights, trained.adam.moments, trained.adam.steps, trained.loss

    @tff.federated_computation(tff.FederatedType(work_type, tff.CLIENTS))
    def at_client(work):
        return tff.federated_map(chunk, work)

    return at_client
