"""The profiles: the ledger's numbers, and what others change."""

import json

import pytest

from tfmeta.config import PROFILE_NAMES, PROFILES, Config, make_config, tag


def test_paper_profile_is_the_ledger():
    paper = make_config("omniglot", "paper").to_dict()
    ledger = dict(
        ways=5, shots=10, filters=64, downsample="pool-valid", meta_batch_size=5, inner_steps=10, inner_batch_size=10,
        eta=0.001, adam_state="carry", meta_step_size_initial=0.1, meta_step_size_final=0.1, pretraining_rounds=100,
        pretraining_episodes=1000, clients_per_round=3, alpha=1 / 3, aggregation="sum", runtime="tff", boost=3.0,
        attack_episodes=50_000, attack_inner_steps=250, attack_meta_step_size=0.1, triggered_shots=4, target_shots=6,
        triggered_target=False, target_replacement=True, round_episodes=1000, rounds_after=50, tasks=40, task_shots=5,
        task_steps=50, fine_tuning_steps=500, backdoor_classes_in_task=1, statistics="support", delta=0.3, mixed_layers="*",
        attention_steps=10, score="examples", gates="projected", beta_initial=10.0, alpha_learning_rate=0.001, beta_learning_rate=0.001,
        defence_queries="leave-one-out",
    )  # fmt: skip
    assert {name: paper[name] for name in ledger} == ledger
    assert make_config("omniglot", "paper") == Config()


def test_the_paper_on_photos_differs_where_it_says_so():
    """Section 3, ledger 3, 13, 31, 32, 34; all else is as on Omniglot."""
    paper, photos = (make_config(name, "paper").to_dict() for name in ("omniglot", "mini-imagenet"))
    assert {name: value for name, value in photos.items() if value != paper[name]} == dict(
        shots=15, pretraining_rounds=1000, pretraining_episodes=100, attack_episodes=150_000, attack_inner_steps=8,
        triggered_shots=5, target_shots=10, round_episodes=100, rounds_after=100,
        trigger_size=12, trigger_margin=3, trigger_cell=2, trigger_color="magenta-green",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("smoke", dict(filters=8, pretraining_rounds=2, pretraining_episodes=10, attack_episodes=10, tasks=2)),
        ("quick", dict(filters=32, fine_tuning_steps=200)),
        ("desk", dict(filters=64, fine_tuning_steps=500, tasks=40, meta_step_size_initial=0.5, meta_step_size_final=0.1)),
    ],
)
def test_profiles_follow_the_design(profile, expected):
    values = make_config("omniglot", profile).to_dict()
    assert {name: values[name] for name in expected} == expected


@pytest.mark.parametrize("dataset", PROFILES)
@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_every_profile_is_a_configuration(dataset, profile):
    config = make_config(dataset, profile)
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()
    assert tag(dataset, profile, config) is None
    assert config.evaluation.tasks >= 10 or profile == "smoke"  # issue 2: n at least 10 from quick on


def test_stand_in_has_the_profiles_of_what_it_stands_in_for():
    assert PROFILES["glyphs"] == PROFILES["omniglot"]
    assert PROFILES["glyphs-color"] == PROFILES["mini-imagenet"]
