"""Sum of updates, each scaled down to an L2 norm of at most `federation.aggregation_norm`."""

import numpy as np

from tfmeta.config import Config
from tfmeta.models.flat import l2_norm


def tff_factory(config: Config):
    """Return the unweighted `tff.aggregators` factory."""
    import tensorflow_federated as tff

    return tff.aggregators.clipping_factory(config.federation.aggregation_norm, tff.aggregators.SumFactory())


def numpy_rule(update: list[np.ndarray], config: Config) -> list[np.ndarray]:
    """Return what one client's update (float32 arrays) adds to the sum."""
    norm = l2_norm(update)
    return [part * np.float32(min(1.0, config.federation.aggregation_norm / norm)) if norm else part for part in update]
