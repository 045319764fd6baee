"""The profiles: the ledger's numbers, and what others change."""

import json

import pytest

from tfmeta import registry
from tfmeta.config import PROFILE_NAMES, Config, changed_fields, make_config

PAPER = {
    "meta_learning": dict(
        ways=5, shots=10, filters=64, downsample="pool-valid", meta_batch_size=5, inner_steps=10, inner_batch_size=10,
        inner_learning_rate=0.001, adam_state="carry", meta_step_size_initial=0.1, meta_step_size_final=0.1,
    ),
    "federation": dict(
        pretraining_rounds=100, pretraining_episodes=1000, clients_per_round=3, alpha=1 / 3, aggregation="sum",
        runtime="tff", round_episodes=1000, rounds_after=50,
    ),
    "attack": dict(
        name="model_replacement", boost=3.0, episodes=50_000, inner_steps=250, meta_step_size=0.1, triggered_shots=4,
        target_shots=6, triggered_target=False, target_replacement=True,
    ),
    "defence": dict(
        delta=0.3, mixed_layers="*", attention_steps=10, score="examples", gates="projected", beta_initial=10.0,
        alpha_learning_rate=0.001, beta_learning_rate=0.001, queries="leave-one-out",
    ),
    "evaluation": dict(
        tasks=40, task_shots=5, task_steps=50, fine_tuning_steps=500, backdoor_classes_in_task=1,
        batch_norm_statistics="support",
    ),
}  # fmt: skip


def test_paper_profile_is_the_ledger():
    paper = make_config("omniglot", "paper").to_dict()
    assert {group: {name: paper[group][name] for name in fields} for group, fields in PAPER.items()} == PAPER
    assert make_config("omniglot", "paper") == Config()


def test_the_paper_on_photos_differs_where_it_says_so():
    """Section 3, ledger 3, 13, 31, 32, 34; all else is as on Omniglot."""
    paper, photos = (make_config(name, "paper") for name in ("omniglot", "mini-imagenet"))
    assert changed_fields(paper, photos) == {
        "meta_learning.shots": 15,
        "federation.pretraining_rounds": 1000, "federation.pretraining_episodes": 100,
        "federation.round_episodes": 100, "federation.rounds_after": 100,
        "attack.episodes": 150_000, "attack.inner_steps": 8, "attack.triggered_shots": 5, "attack.target_shots": 10,
        "trigger.size": 12, "trigger.margin": 3, "trigger.cell": 2, "trigger.color": "magenta-green",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("smoke", {"meta_learning.filters": 8, "federation.pretraining_rounds": 2, "evaluation.tasks": 2}),
        ("quick", {"meta_learning.filters": 32, "evaluation.fine_tuning_steps": 200}),
        ("desk", {"meta_learning.filters": 64, "evaluation.fine_tuning_steps": 500, "evaluation.tasks": 40}),
    ],
)
def test_smaller_profiles_have_smaller_numbers(profile, expected):
    config = make_config("omniglot", profile)
    assert {name: config[name] for name in expected} == expected


@pytest.mark.parametrize("dataset", registry.names("datasets"))
@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_every_profile_is_a_configuration(dataset, profile):
    config = make_config(dataset, profile)
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()
    assert config.evaluation.tasks >= 10 or profile == "smoke"  # enough for an interval


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_a_stand_in_has_the_profiles_of_what_it_stands_in_for(profile):
    assert make_config("glyphs", profile) == make_config("omniglot", profile)
    assert make_config("glyphs-color", profile) == make_config("mini-imagenet", profile)
