"""The plain sum of updates, the paper's aggregation (section 2); fits secure aggregation."""

import numpy as np

from tfmeta.config import Config


def tff_factory(config: Config):
    """Return the unweighted `tff.aggregators` factory."""
    import tensorflow_federated as tff

    return tff.aggregators.SumFactory()


def numpy_rule(update: list[np.ndarray], config: Config) -> list[np.ndarray]:
    """Return what one client's update (float32 arrays) adds to the sum."""
    return update
