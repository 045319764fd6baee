"""Sum of updates without those whose L2 norm is above `federation.aggregation_norm`."""

import numpy as np

from tfmeta.aggregations.base import Aggregation, total
from tfmeta.plugins import shared


class Zeroing(Aggregation):
    """The sum of updates, in which those that are too large count as zeros."""

    aggregation_norm: float = shared()

    def tff_factory(self):
        """Return the factory."""
        import tensorflow_federated as tff

        inner = tff.aggregators.SumFactory()
        return tff.aggregators.zeroing_factory(self.aggregation_norm, inner, norm_order=2.0)

    def numpy_rule(self, updates):
        """Return the aggregate of the updates."""
        return total([self._kept(update) for update in updates])

    def _kept(self, update):
        from tfmeta.models.flat import l2_norm

        return [np.zeros_like(part) for part in update] if l2_norm(update) > self.aggregation_norm else update
