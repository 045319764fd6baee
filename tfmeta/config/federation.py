"""Fields of the group `federation`: rounds, clients, and how the server aggregates."""

import dataclasses
import functools

from tfmeta import registry
from tfmeta.config.fields import Group, number, word

_number = functools.partial(number, stage="pretraining")
_word = functools.partial(word, stage="pretraining")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FederationConfig(Group):
    """Rounds, clients, and how the server aggregates."""

    pretraining_rounds: int = _number(100, "rounds before the attack", 1, source="ledger 31")
    pretraining_episodes: int = _number(
        1000, "episodes per client and pre-training round", 1, symbol="E", source="ledger 2, 31",
        multiple_of_meta_batch=True,
    )  # fmt: skip
    round_episodes: int = number(
        1000, "episodes per client and round, from the round before the attack on", 1, symbol="E",
        source="section 3", stage="attack", multiple_of_meta_batch=True,
    )  # fmt: skip
    rounds_after: int = number(50, "benign rounds after the attack", 1, source="ledger 32", stage="rounds")
    clients_per_round: int = _number(3, "clients per round", 1, 3, symbol="M_r", source="section 3")
    alpha: float = _number(1 / 3, "weight of a client's update", 0, 1, above=True, symbol="alpha", source="ledger 16")
    aggregation: str = _word(
        "sum",
        "inner aggregation that the boosted aggregation wraps",
        functools.partial(registry.names, "aggregations"),
        source="section 2",
    )
    aggregation_norm: float = _number(
        10.0, "norm bound of clipping and zeroing (applies to the boosted update)", 0, above=True, source="ours"
    )
    runtime: str = _word(
        "tff", "where rounds run: TFF's worker, or this process (the one that can use a GPU)", ("tff", "inprocess"),
        source="ours",
    )  # fmt: skip
