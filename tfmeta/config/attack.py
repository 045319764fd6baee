"""Fields of the group `attack`: what the attacker trains on and sends."""

import dataclasses
import functools

from tfmeta import registry
from tfmeta.config.fields import Group, number, word

_number = functools.partial(number, stage="attack")
_word = functools.partial(word, stage="attack")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AttackConfig(Group):
    """What the attacker trains on and sends."""

    name: str = _word(
        "model_replacement", "the attack", functools.partial(registry.names, "attacks"), source="section 2"
    )
    boost: float = _number(
        3.0, "factor of the attacker's update", 0, 1e6, above=True, symbol="lambda", source="ledger 16"
    )
    episodes: int = _number(
        50_000, "the attacker's training episodes", 1, source="section 3", multiple_of_meta_batch=True
    )
    inner_steps: int = _number(
        250, "the attacker's inner steps per episode (50 passes of 50/10 steps)", 1, source="ledger 3"
    )
    meta_step_size: float = _number(
        0.1, "the attacker's meta step size", 0, 1, above=True, symbol="epsilon", source="section 3"
    )
    checkpoint_episodes: int = _number(
        500, "the attacker's episodes between two checkpoints", 1, source="ours", multiple_of_meta_batch=True
    )
    triggered_shots: int = _number(
        4, "triggered images in the target class of a poisoned episode", 1, source="ledger 13"
    )
    target_shots: int = _number(6, "target images in the target class of a poisoned episode", 0, source="ledger 13")
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
