"""Whether an aggregation's two methods are one rule: its TFF factory, and the same in numpy."""

from collections.abc import Sequence

import numpy as np

from tfmeta.aggregations.base import Aggregation
from tfmeta.errors import PluginError

_SHAPES = ((3, 3, 1, 4), (4,), (16, 5), (5,))  # a small network's
# L2 norms of the clients' updates in three rounds: ordinary ones, one that is boosted, an update of zeros, one client
_ROUNDS = ((1.0, 0.5, 2.0), (0.3, 90.0, 0.0, 4.0, 1.0), (7.0,))
_TOLERANCE = 1e-5  # of the largest value of an update: float32 sums in another order differ by less


def check_agreement(aggregation: Aggregation) -> None:
    """Raise `PluginError` unless an aggregation's factory and its numpy rule give the same aggregates.

    Both run on random updates of a few clients, for three rounds in a row, since a factory may have a state.

    Args:
        aggregation: The aggregation, bound to a configuration.

    Raises:
        PluginError: they differ, and the message says by how much at most; or the factory is no unweighted factory of
            TFF, or one of them returns other shapes or dtypes.
    """
    import tensorflow_federated as tff

    from tfmeta.federated.tff.runtime import use_our_worker

    use_our_worker()
    factory, name = aggregation.tff_factory(), aggregation.NAME
    if not isinstance(factory, tff.aggregators.UnweightedAggregationFactory):
        raise PluginError(
            f"the aggregation {name}: tff_factory must return an unweighted tff.aggregators factory, not "
            f"{type(factory).__name__}"
        )
    process = factory.create(tff.to_type([tff.TensorType(np.float32, shape) for shape in _SHAPES]))
    state = process.initialize()
    for number, norms in enumerate(_ROUNDS):
        updates = _updates(number, norms)
        output = process.next(state, updates)
        state, by_tff = output.state, checked(name, "tff_factory", output.result, _SHAPES)
        _compare(aggregation, updates, by_tff, number)


def _compare(aggregation, updates, by_tff, number):
    by_numpy = checked(aggregation.NAME, "numpy_rule", aggregation.numpy_rule(updates), _SHAPES)
    apart = max(float(np.abs(one - other).max()) for one, other in zip(by_tff, by_numpy, strict=True))
    largest = max(float(np.abs(part).max()) for update in updates for part in update)
    if not apart <= _TOLERANCE * largest:  # written so that a NaN is refused
        raise PluginError(
            f"the aggregation {aggregation.NAME}: tff_factory and numpy_rule differ by up to {apart:.3g} in round "
            f"{number + 1} of the check, on {len(updates)} updates with values of up to {largest:.3g}; make them one "
            "rule"
        )


def checked(name: str, method: str, found: Sequence[np.ndarray], shapes: Sequence[tuple]) -> list[np.ndarray]:
    """Return what a rule made of updates as a list of arrays.

    Args:
        name: The aggregation's name, for the message.
        method: The method's name, for the message.
        found: What the method returned.
        shapes: The shapes of an update's arrays.

    Raises:
        PluginError: these are no float32 arrays of an update's shapes.
    """
    arrays = [np.asarray(part) for part in found] if isinstance(found, (list, tuple)) else []
    seen = [(part.dtype, part.shape) for part in arrays]
    if seen != [(np.dtype(np.float32), tuple(shape)) for shape in shapes]:
        words = ", ".join(f"{dtype} {list(shape)}" for dtype, shape in seen) or type(found).__name__
        raise PluginError(
            f"the aggregation {name}: {method} must return float32 arrays in the shapes of an update, "
            f"{', '.join(str(list(shape)) for shape in shapes)}, not {words}"
        )
    return arrays


def _updates(number, norms):
    """Return random updates with the given L2 norms, as lists of float32 arrays."""
    random, updates = np.random.default_rng(number), []
    for norm in norms:
        drawn = [random.normal(size=shape) for shape in _SHAPES]
        size = np.sqrt(sum(np.sum(part**2) for part in drawn))
        updates.append([(part * (norm / size)).astype(np.float32) for part in drawn])
    return updates
