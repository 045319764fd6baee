"""The boosted aggregation: a custom aggregation process that lets the attacker boost its update (ledger 16).

It wraps any unweighted `tff.aggregators` factory. Each client multiplies its delta by its boost (lambda for the
attacker, 1 for the others), then the inner factory aggregates, then the server multiplies by alpha. So a clipping
inner factory clips boosted deltas, and with a secure sum the server sees only the sum.
"""

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from tfmeta.federated.tff.runtime import use_our_worker

UnweightedFactory = tff.aggregators.UnweightedAggregationFactory
WEIGHT_TYPE = tff.to_type(collections.OrderedDict(alpha=np.float32, boost=np.float32))


class BoostedFactory(tff.aggregators.WeightedAggregationFactory):
    """Makes boosted aggregation processes; the weight of an update is a structure of its alpha and its boost.

    Args:
        inner: The unweighted factory to wrap; a plain sum by default.
        alpha: What the server multiplies the aggregate with; with None each update is multiplied by its own alpha
            before the inner aggregation.
    """

    def __init__(self, inner: UnweightedFactory | None = None, alpha: float | None = None):
        self._inner = tff.aggregators.SumFactory() if inner is None else inner
        self._alpha = alpha

    def create(self, value_type: tff.Type, weight_type: tff.Type) -> tff.templates.AggregationProcess:
        """Return the process that aggregates updates of a type; raises `TypeError` for weights not of `WEIGHT_TYPE`."""
        if weight_type != WEIGHT_TYPE:
            raise TypeError(f"the boosted aggregation takes weights of type {WEIGHT_TYPE}, not {weight_type}")
        use_our_worker()
        inner, common = self._inner.create(value_type), self._alpha

        @tff.tensorflow.computation(value_type, weight_type)
        def boosted(delta, weight):
            factor = weight["boost"] * (1.0 if common is not None else weight["alpha"])
            return tf.nest.map_structure(lambda part: part * factor, delta)

        @tff.tensorflow.computation(inner.next.type_signature.result.result.member)
        def scaled(total):
            return tf.nest.map_structure(lambda part: part * (1.0 if common is None else common), total)

        of_clients = (tff.FederatedType(each, tff.CLIENTS) for each in (value_type, weight_type))

        @tff.federated_computation(inner.initialize.type_signature.result, *of_clients)
        def next_fn(state, delta, weight):
            output = inner.next(state, tff.federated_map(boosted, (delta, weight)))
            result = tff.federated_map(scaled, output.result)
            return tff.templates.MeasuredProcessOutput(output.state, result, output.measurements)

        return tff.templates.AggregationProcess(inner.initialize, next_fn)
