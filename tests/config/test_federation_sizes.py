"""Federations of other sizes: which fields fit together, alpha, and the rounds of the attack."""

import pytest

from tfmeta.config import make_config
from tfmeta.config.attack import attack_rounds
from tfmeta.errors import ConfigError


def config(**fields):
    return make_config("omniglot", "smoke", **fields)


def test_the_default_is_the_papers_federation():
    federation = config().federation
    assert (federation.attacking, federation.benign, federation.clients_per_round) == ((1,), (2, 3, 4), 3)
    assert config().evaluation.users == 3 and config().attack.rounds == "once" and config().attack.replacement == 0


def test_attackers_are_the_first_users_and_benign_users_follow():
    federation = config(federation_users=100, attackers=2, clients_per_round=10).federation
    assert federation.attacking == (1, 2) and federation.benign == tuple(range(3, 101))


@pytest.mark.parametrize("clients", [1, 2, 3, 10, 49])
def test_alpha_is_one_over_the_clients_of_a_round_where_only_they_are_given(clients):
    many = config(federation_users=60, clients_per_round=clients)
    assert many.federation.alpha == 1 / clients
    assert config(federation_users=60, clients_per_round=clients, alpha=0.25).federation.alpha == 0.25
    assert config(federation_users=60).federation.alpha == 1 / 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (dict(clients_per_round=4), "federation.clients_per_round = 4: there are 3 benign users.*at most 3"),
        (dict(federation_users=3), "federation.clients_per_round = 3: there are 2 benign users.*at most 2"),
        (dict(attackers=4), "federation.attackers = 4 leaves no benign user of federation.users = 4.*at most 3"),
        (
            dict(federation_users=9, attackers=4),
            "federation.attackers = 4: all of them take part.*clients_per_round = 3 clients; choose at most 3",
        ),
        (dict(evaluation_users=4), "evaluation.users = 4: the federation has 3 benign users"),
        (dict(replacement=1, boost=5), "attack.boost = 5.0 would change nothing.*attack.replacement = 1.0 sets"),
        (dict(attack_rounds="2,9"), r"attack.rounds = '2,9' names round 9, but the last round is 5 .*at least 7"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_the_field(fields, words):
    with pytest.raises(ConfigError, match=words):
        config(**fields)


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ("once", (2,)), ("2", (2,)), ("2,4,9", (2, 4, 9)), ("2, 4", (2, 4)), ("every-1", tuple(range(2, 13))),
        ("every-5", (2, 7, 12)), ("every-4", (2, 6, 10)), ("every-99", (2,)),
    ],
)  # fmt: skip
def test_the_rounds_of_the_attack_are_once_every_so_many_or_a_list(rounds, expected):
    assert attack_rounds(rounds, 12) == expected


@pytest.mark.parametrize(
    "rounds", ["", "twice", "every-0", "every-", "every-1.5", "1,2", "3,4", "2,2", "2,5,4", "2,", "2;4"]
)
def test_other_words_for_the_rounds_of_the_attack_are_refused(rounds):
    with pytest.raises(ConfigError, match=r"attack.rounds = .*once, every-5 .*begin with 2, such as 2,4,9"):
        config(attack_rounds=rounds)
