"""The boosted aggregation: a custom aggregation process that takes in the attacker's update (ledger 16).

It wraps any unweighted ``tff.aggregators`` factory. On the clients' side each delta is multiplied by its boost
(lambda for the attacker, 1 for the others), then the inner factory aggregates, then the server multiplies by
alpha. The inner factory sees boosted deltas, so a clipping one clips them; the server sees only what the inner
factory lets out, so with a secure sum it sees only the sum.
"""

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

WEIGHT_TYPE = tff.to_type(collections.OrderedDict(alpha=np.float32, boost=np.float32))


class BoostedFactory(tff.aggregators.WeightedAggregationFactory):
    """Makes boosted aggregation processes.

    The weight of an update is a structure of its alpha and its boost. ``alpha`` given here (a float) holds for
    all users and is applied by the server behind the inner aggregation; with ``None``, each update is multiplied
    by the alpha of its own weight in front of the inner aggregation.
    """

    def __init__(self, inner=None, alpha=None):
        self._inner = tff.aggregators.SumFactory() if inner is None else inner
        self._alpha = alpha

    def create(self, value_type, weight_type):
        """Return the ``tff.templates.AggregationProcess`` of updates of ``value_type``."""
        if weight_type != WEIGHT_TYPE:
            raise TypeError(f"the boosted aggregation takes weights of type {WEIGHT_TYPE}, not {weight_type}")
        inner = self._inner.create(value_type)
        common = self._alpha

        @tff.tensorflow.computation(value_type, weight_type)
        def boosted(delta, weight):
            factor = weight["boost"] * (1.0 if common is not None else weight["alpha"])
            return tf.nest.map_structure(lambda part: part * factor, delta)

        @tff.tensorflow.computation(inner.next.type_signature.result.result.member)
        def scaled(total):
            return tf.nest.map_structure(lambda part: part * (1.0 if common is None else common), total)

        @tff.federated_computation(
            inner.initialize.type_signature.result,
            tff.FederatedType(value_type, tff.CLIENTS),
            tff.FederatedType(weight_type, tff.CLIENTS),
        )
        def next_fn(state, delta, weight):
            output = inner.next(state, tff.federated_map(boosted, (delta, weight)))
            return tff.templates.MeasuredProcessOutput(
                output.state, tff.federated_map(scaled, output.result), output.measurements
            )

        return tff.templates.AggregationProcess(inner.initialize, next_fn)
