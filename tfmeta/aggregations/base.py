"""`Aggregation`: the contract of a server-side rule."""

import abc
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from tfmeta.plugins import Plugin

if TYPE_CHECKING:
    import tensorflow_federated as tff


class Aggregation(Plugin):
    """A rule that makes one update of those of all clients in a round; the server then multiplies it by alpha.

    Alpha is 1 / clients by default, because the paper's server averages the updates. A rule that itself averages, such
    as a median, must therefore multiply by the number of clients, or be used with `federation.alpha` = 1.

    It sees boosted updates: a client multiplies its update by its boost first (ledger 16). The two methods are one
    rule, for TFF and for the federation in this process; `tfmeta check-plugin` compares them.
    """

    KIND: ClassVar[str] = "aggregations"
    needs_individual_updates: ClassVar[bool] = False  # it does not fit secure aggregation (for people)

    @abc.abstractmethod
    def tff_factory(self) -> "tff.aggregators.UnweightedAggregationFactory":
        """Return the unweighted `tff.aggregators` factory of the rule."""

    @abc.abstractmethod
    def numpy_rule(self, updates: list[list[np.ndarray]]) -> list[np.ndarray]:
        """Return what the clients' updates (lists of float32 arrays, in the clients' order) are together."""


def total(updates: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Return the sum of updates, added in their order to zeros, as TFF adds them."""
    done = [np.zeros_like(part) for part in updates[0]]
    for update in updates:
        done = [before + part for before, part in zip(done, update, strict=True)]
    return done
