"""The rounds of a run by number, who takes part in them, and the meta step size (ledger 1, 17, 18, 31, 32).

On the timeline round 0 is the pre-trained model, round 1 the model after one benign round (before the attack), and
round 2 the first round in which attackers take part. `attack.rounds` says in which later rounds they do so again.
"""

from numbers import Integral

from tfmeta.config import Config
from tfmeta.config.attack import FIRST_ROUND, attack_rounds
from tfmeta.errors import ConfigError, unknown
from tfmeta.utils import seeds

PRETRAINED, BEFORE_ATTACK = 0, 1
NAMED = ("pretrained", "before_attack", "attacked")


def knows_backdoor(case: str) -> bool:
    """Return whether benign users train on (correctly labelled) backdoor classes in a case (ledger 19)."""
    return case != "a"


def last_round(config: Config) -> int:
    """Return the number of the timeline's last round."""
    return FIRST_ROUND + config.federation.rounds_after


def with_attackers(config: Config) -> tuple[int, ...]:
    """Return the numbers of the rounds in which attackers take part, ascending; the first is 2."""
    return attack_rounds(config.attack.rounds, last_round(config))


def attacked(config: Config) -> int:
    """Return the round that "attacked" stands for: the last one in which attackers take part."""
    return with_attackers(config)[-1]


def number_of(name: str | Integral, config: Config) -> int:
    """Return the round that a name (one of `NAMED`) or a number stands for; raises `ConfigError` for any other."""
    if isinstance(name, str) and name not in NAMED:
        raise ConfigError(f"{unknown('model', name, NAMED)}, or a round's number")
    if isinstance(name, bool) or not isinstance(name, str | Integral):
        raise ConfigError(f"{name!r} is not a round: give a whole number or one of {', '.join(NAMED)}")
    by_name = dict(zip(NAMED, (PRETRAINED, BEFORE_ATTACK, attacked(config)), strict=True))
    number = int(by_name.get(name, name))
    check_number("round", number, PRETRAINED, last_round(config))
    return number


def check_number(what: str, number: int, low: int, high: int) -> None:
    """Raise `ConfigError` unless `number` is from `low` to `high`."""
    if not low <= number <= high:
        raise ConfigError(f"there is no {what} {number}: choose {low} to {high}")


def selected(config: Config, stage: str, number: int, attack: bool = False) -> list[int]:
    """Return the users of round `number` of a stage ("pretraining" or "federation"), drawn by the seed.

    With `attack` they are all attackers and, in the other places, benign users; otherwise benign users only.
    """
    federation = config.federation
    attackers = federation.attacking if attack else ()
    random = seeds.generator(config.meta_learning.seed, stage, "round", number, "selection")
    chosen = random.choice(federation.benign, federation.clients_per_round - len(attackers), replace=False)
    return [*attackers, *sorted(int(user) for user in chosen)]


def meta_step_size(config: Config, number: int) -> float:
    """Return the meta step size of pre-training round `number`: linear from initial to final (ledger 1)."""
    learning = config.meta_learning
    share = number / max(config.federation.pretraining_rounds - 1, 1)
    return learning.meta_step_size_initial + share * (learning.meta_step_size_final - learning.meta_step_size_initial)
