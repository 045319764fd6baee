"""Fields of the group `attack`: what the attacker trains on and sends."""

import dataclasses
import functools
import itertools
import re

from tfmeta import registry
from tfmeta.config.fields import Group, number, word
from tfmeta.config.limits import MOST_EPISODES, MOST_IMAGES, MOST_STEPS
from tfmeta.errors import ConfigError

FIRST_ROUND = 2  # of the attack: round 1 is benign, so that there is a model of the federation before the attack

_number = functools.partial(number, stage="attack")
_word = functools.partial(word, stage="attack")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttackConfig(Group):
    """What the attacker trains on and sends."""

    name: str = _word(
        "model_replacement", "the attack", functools.partial(registry.names, "attacks"), source="section 2"
    )
    rounds: str = _word(
        "once", "rounds in which all attackers take part: once (round 2), every-5 (2, 7, 12, ...) or a list (2,4,9)",
        source="section 3", legacy="once",
    )  # fmt: skip
    boost: float = _number(
        3.0, "factor of an attacker's update", 0, 1e6, above=True, symbol="lambda", source="ledger 16"
    )
    replacement: float = _number(
        0.0, "lambda times alpha, summed over the attackers; it sets the boost (1 replaces the model, 0 keeps boost)",
        0, 1e6, source="ours", legacy=0.0,
    )  # fmt: skip
    episodes: int = _number(
        50_000, "the attacker's training episodes", 1, MOST_EPISODES, source="section 3", multiple_of_meta_batch=True
    )
    inner_steps: int = _number(
        250, "the attacker's inner steps per episode (50 passes of 50/10 steps)", 1, MOST_STEPS, source="ledger 3"
    )
    meta_step_size: float = _number(
        0.1, "the attacker's meta step size", 0, 1, above=True, symbol="epsilon", source="section 3"
    )
    checkpoint_episodes: int = _number(
        500, "the attacker's episodes between two checkpoints", 1, MOST_EPISODES, source="ours",
        multiple_of_meta_batch=True,
    )  # fmt: skip
    triggered_shots: int = _number(
        4, "triggered images in the target class of a poisoned episode", 1, MOST_IMAGES, source="ledger 13"
    )
    target_shots: int = _number(
        6, "target images in the target class of a poisoned episode", 0, MOST_IMAGES, source="ledger 13"
    )
    target_label: str = _word(
        "last", "the output that stands for the target class in a poisoned episode", ("last", "random"),
        source="section 2, ledger 35",
    )  # fmt: skip
    triggered_target: bool = _word(
        False, "whether the attacker's target images carry the trigger too", source="ledger 12"
    )
    target_replacement: bool = _word(
        True, "whether the attacker's target images are drawn with replacement", source="ledger 12"
    )

    def __post_init__(self):
        super().__post_init__()
        attack_rounds(self.rounds, FIRST_ROUND)


def attack_rounds(rounds: str, last: int) -> tuple[int, ...]:
    """Return the numbers, ascending, of the rounds that `attack.rounds` stands for.

    Args:
        rounds: "once", "every-5" (or another number), or a list such as "2,4,9".
        last: The last round of the run; "every-5" ends there.

    Raises:
        ConfigError: `rounds` is none of these, or a list that does not begin with round 2 and ascend.
    """
    if rounds == "once":
        return (FIRST_ROUND,)
    if found := re.fullmatch(r"every-([1-9][0-9]{0,8})", rounds):
        return tuple(range(FIRST_ROUND, last + 1, int(found[1])))
    if re.fullmatch(r"[0-9]{1,9}(, *[0-9]{1,9})*", rounds):
        listed = tuple(int(word) for word in rounds.split(","))
        if listed[0] == FIRST_ROUND and all(one < other for one, other in itertools.pairwise(listed)):
            return listed
    raise ConfigError(
        f"attack.rounds = {rounds!r}: give once, every-5 (or another number), or ascending rounds that begin with "
        f"{FIRST_ROUND}, such as 2,4,9"
    )
