"""The rounds of a run: their names, who takes part, and the meta step size (ledger 1, 17, 18)."""

import numpy as np
import pytest
from core_fixtures import small_config

from tfmeta.config import make_config
from tfmeta.errors import ConfigError
from tfmeta.federated import rounds


def test_rounds_are_found_by_name_and_number():
    config = small_config(rounds_after=4)
    named = ("pretrained", "before_attack", "attacked", 3, np.int64(6))
    assert [rounds.number_of(name, config) for name in named] == [0, 1, 2, 3, 6]
    assert rounds.last_round(config) == 6


@pytest.mark.parametrize(
    ("name", "words"), [("atacked", "did you mean attacked"), (7, "7.*0 to 6"), (-1, "-1.*0 to 6")]
)
def test_an_unknown_round_is_refused(name, words):
    with pytest.raises(ConfigError, match=words):
        rounds.number_of(name, small_config(rounds_after=4))


@pytest.mark.parametrize("name", [None, 1.5, True, np.bool_(True), [1]])
def test_what_is_no_round_is_refused(name):
    with pytest.raises(ConfigError, match="is not a round: give a whole number or one of pretrained, before_attack"):
        rounds.number_of(name, small_config())


def test_the_meta_step_size_is_linear_from_the_first_to_the_last_round():
    config = small_config(meta_step_size_initial=0.5, meta_step_size_final=0.1, pretraining_rounds=5)
    assert [rounds.meta_step_size(config, number) for number in range(5)] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])
    assert rounds.meta_step_size(make_config("omniglot", "paper"), 57) == pytest.approx(0.1)
    assert rounds.meta_step_size(small_config(meta_step_size_initial=0.5, pretraining_rounds=1), 0) == 0.5


def test_the_attacker_takes_part_in_its_round_only():
    config = small_config()
    for number in range(20):
        assert rounds.selected(config, "federation", number) == [2, 3, 4]
        attack = rounds.selected(config, "federation", number, attack=True)
        assert attack[0] == 1 and len(set(attack)) == 3 and set(attack[1:]) < {2, 3, 4} and attack == sorted(attack)
        assert attack == rounds.selected(config, "federation", number, attack=True)
    drawn = {tuple(rounds.selected(small_config(seed=seed), "federation", 2, attack=True)) for seed in range(30)}
    assert drawn == {(1, 2, 3), (1, 2, 4), (1, 3, 4)}


def test_fewer_clients_per_round_are_drawn_from_all_benign_users():
    two, one = small_config(clients_per_round=2), small_config(clients_per_round=1)
    drawn = {tuple(rounds.selected(two, "pretraining", number)) for number in range(40)}
    assert drawn == {(2, 3), (2, 4), (3, 4)}
    assert rounds.selected(one, "federation", 2, attack=True) == [1]
    assert rounds.selected(two, "federation", 2, attack=True)[0] == 1
    assert all(type(user) is int for user in rounds.selected(two, "pretraining", 0))


def test_a_large_federation_draws_its_clients_from_all_benign_users():
    config = small_config(federation_users=100, attackers=2, clients_per_round=10, rounds_after=20)
    rounds_of = [rounds.selected(config, "federation", number) for number in range(60)]
    assert all(len(set(users)) == 10 and users == sorted(users) for users in rounds_of)
    assert set().union(*rounds_of) == set(range(3, 101))
    attack = rounds.selected(config, "federation", 2, attack=True)
    assert attack[:2] == [1, 2] and len(set(attack)) == 10 and set(attack[2:]) <= set(range(3, 101))


def test_the_attack_is_the_last_round_with_attackers():
    for words, expected in (("once", 2), ("2,3,5", 5), ("every-3", 5), ("every-4", 6)):
        config = small_config(attack_rounds=words, rounds_after=4)
        assert rounds.attacked(config) == rounds.number_of("attacked", config) == expected
        assert rounds.last_round(config) == 6
