"""Sum of updates without those whose L2 norm is above `federation.aggregation_norm`."""

import numpy as np

from tfmeta.config import Config
from tfmeta.models.flat import l2_norm


def tff_factory(config: Config):
    """Return the unweighted `tff.aggregators` factory."""
    import tensorflow_federated as tff

    norm, inner = config.federation.aggregation_norm, tff.aggregators.SumFactory()
    return tff.aggregators.zeroing_factory(norm, inner, norm_order=2.0)


def numpy_rule(update: list[np.ndarray], config: Config) -> list[np.ndarray]:
    """Return what one client's update (float32 arrays) adds to the sum."""
    return [np.zeros_like(part) for part in update] if l2_norm(update) > config.federation.aggregation_norm else update
