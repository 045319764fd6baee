"""The plain sum of updates, the paper's aggregation (section 2); fits secure aggregation."""

from tfmeta.aggregations.base import Aggregation, total


class Sum(Aggregation):
    """The sum of all updates."""

    def tff_factory(self):
        """Return the factory."""
        import tensorflow_federated as tff

        return tff.aggregators.SumFactory()

    def numpy_rule(self, updates):
        """Return the aggregate of the updates."""
        return total(updates)
