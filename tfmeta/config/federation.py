"""Fields of the group `federation`: rounds, clients, and how the server aggregates."""

import dataclasses
import functools

from tfmeta import registry
from tfmeta.config.fields import Group, number, word
from tfmeta.config.limits import MOST_EPISODES, MOST_ROUNDS, MOST_USERS
from tfmeta.errors import ConfigError

# Norms of updates that float32 can tell apart: the squares of much larger ones are infinity, of much smaller ones 0.
LEAST_NORM, LARGEST_NORM = 1e-15, 1e15

_number = functools.partial(number, stage="pretraining")
_word = functools.partial(word, stage="pretraining")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FederationConfig(Group):
    """Rounds, clients, and how the server aggregates."""

    users: int = number(
        4, "users, attackers included", 2, MOST_USERS, source="section 3", stage="partition", legacy=4
    )
    attackers: int = number(
        1, "attackers among the users; they are users 1 to this number", 1, MOST_USERS, source="section 3",
        stage="partition", legacy=1,
    )  # fmt: skip
    pretraining_rounds: int = _number(100, "rounds before the attack", 1, MOST_ROUNDS, source="ledger 31")
    pretraining_episodes: int = _number(
        1000, "episodes per client and pre-training round", 1, MOST_EPISODES, symbol="E", source="ledger 2, 31",
        multiple_of_meta_batch=True,
    )  # fmt: skip
    round_episodes: int = number(
        1000, "episodes per client and round, from the round before the attack on", 1, MOST_EPISODES,
        symbol="E", source="section 3", stage="attack", multiple_of_meta_batch=True,
    )  # fmt: skip
    rounds_after: int = number(
        50, "rounds after the first round with attackers", 1, MOST_ROUNDS, source="ledger 32", stage="rounds"
    )
    clients_per_round: int = _number(3, "clients per round", 1, MOST_USERS, symbol="M_r", source="section 3")
    alpha: float = _number(
        1 / 3, "weight of a client's update; 1 / clients_per_round if only that is given", 0, 1, above=True,
        symbol="alpha", source="ledger 16",
    )  # fmt: skip
    aggregation: str = _word(
        "sum",
        "inner aggregation that the boosted aggregation wraps",
        functools.partial(registry.names, "aggregations"),
        source="section 2",
    )
    aggregation_norm: float = _number(
        10.0, "norm bound of clipping and zeroing (applies to the boosted update)", LEAST_NORM, LARGEST_NORM,
        source="ours",
    )  # fmt: skip
    max_update_norm: float = _number(
        1e9, "largest L2 norm of a client's boosted update; a round with a larger one fails", 0, LARGEST_NORM,
        above=True, source="ledger 41", legacy=1e9,
    )  # fmt: skip
    runtime: str = _word(
        "tff", "where rounds run: TFF's worker, or this process (the one that can use a GPU)", ("tff", "inprocess"),
        source="ours",
    )  # fmt: skip

    def __post_init__(self):
        super().__post_init__()
        attackers, benign, clients = self.attackers, self.users - self.attackers, self.clients_per_round
        if benign < 1:
            raise ConfigError(
                f"federation.attackers = {attackers} leaves no benign user of federation.users = {self.users}: choose "
                f"at most {self.users - 1}"
            )
        if clients > benign:
            raise ConfigError(
                f"federation.clients_per_round = {clients}: there are {benign} benign users (federation.users = "
                f"{self.users} without federation.attackers = {attackers}); choose at most {benign}"
            )
        if attackers > clients:
            raise ConfigError(
                f"federation.attackers = {attackers}: all of them take part in a round of the attack, which has "
                f"federation.clients_per_round = {clients} clients; choose at most {clients}"
            )

    @property
    def attacking(self) -> tuple[int, ...]:
        """The numbers of the attackers, from 1."""
        return tuple(range(1, self.attackers + 1))

    @property
    def benign(self) -> tuple[int, ...]:
        """The numbers of the benign users, which follow the attackers'."""
        return tuple(range(self.attackers + 1, self.users + 1))
