"""The rounds of a run by number, who takes part in them, and the meta step size (ledger 1, 17, 18, 31, 32).

On the timeline round 0 is the pre-trained model, round 1 the model after one benign round (before the attack), round 2
the attacked model, and later rounds are benign.
"""

from numbers import Integral

from tfmeta.config import Config
from tfmeta.datasets.shares import ATTACKER, BENIGN
from tfmeta.errors import ConfigError, unknown
from tfmeta.utils import seeds

PRETRAINED, BEFORE_ATTACK, ATTACKED = 0, 1, 2
NAMED = {"pretrained": PRETRAINED, "before_attack": BEFORE_ATTACK, "attacked": ATTACKED}


def knows_backdoor(case: str) -> bool:
    """Return whether benign users train on (correctly labelled) backdoor classes in a case (ledger 19)."""
    return case != "a"


def last_round(config: Config) -> int:
    """Return the number of the timeline's last round."""
    return ATTACKED + config.federation.rounds_after


def number_of(name: str | Integral, config: Config) -> int:
    """Return the round that a name (one of `NAMED`) or a number stands for; raises `ConfigError` for any other."""
    if isinstance(name, str) and name not in NAMED:
        raise ConfigError(f"{unknown('model', name, NAMED)}, or a round's number")
    if isinstance(name, bool) or not isinstance(name, str | Integral):
        raise ConfigError(f"{name!r} is not a round: give a whole number or one of {', '.join(NAMED)}")
    number = int(NAMED.get(name, name))
    check_number("round", number, PRETRAINED, last_round(config))
    return number


def check_number(what: str, number: int, low: int, high: int) -> None:
    """Raise `ConfigError` unless `number` is from `low` to `high`."""
    if not low <= number <= high:
        raise ConfigError(f"there is no {what} {number}: choose {low} to {high}")


def selected(config: Config, stage: str, number: int, attack: bool = False) -> list[int]:
    """Return the users of round `number` of a stage ("pretraining" or "federation"), drawn by the seed.

    With `attack` they are the attacker and benign users, otherwise benign users only.
    """
    random = seeds.generator(config.meta_learning.seed, stage, "round", number, "selection")
    benign = config.federation.clients_per_round - attack
    chosen = sorted(int(user) for user in random.choice(BENIGN, benign, replace=False))
    return [ATTACKER, *chosen] if attack else chosen


def meta_step_size(config: Config, number: int) -> float:
    """Return the meta step size of pre-training round `number`: linear from initial to final (ledger 1)."""
    learning = config.meta_learning
    share = number / max(config.federation.pretraining_rounds - 1, 1)
    return learning.meta_step_size_initial + share * (learning.meta_step_size_final - learning.meta_step_size_initial)
