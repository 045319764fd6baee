"""Sum of updates, each scaled down to an L2 norm of at most `federation.aggregation_norm`."""

import numpy as np

from tfmeta.aggregations.base import Aggregation, total
from tfmeta.plugins import shared


class Clipping(Aggregation):
    """The sum of updates that are clipped first; each client can clip its own, so it fits secure aggregation."""

    aggregation_norm: float = shared()

    def tff_factory(self):
        """Return the factory."""
        import tensorflow_federated as tff

        return tff.aggregators.clipping_factory(self.aggregation_norm, tff.aggregators.SumFactory())

    def numpy_rule(self, updates):
        """Return the aggregate of the updates."""
        return total([self._clipped(update) for update in updates])

    def _clipped(self, update):
        from tfmeta.models.flat import l2_norm

        norm = l2_norm(update)
        return [part * np.float32(min(1.0, self.aggregation_norm / norm)) if norm else part for part in update]
