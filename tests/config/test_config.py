"""The configuration: ranges, rules, stages."""

import dataclasses
import math
import subprocess
import sys

import pytest

from tfmeta.config import STAGES, Config, describe, make_config
from tfmeta.errors import ConfigError

FIELDS = {field.name: field for field in dataclasses.fields(Config)}
NUMBERS = [name for name, field in FIELDS.items() if field.type in (int, float)]
DEFENCE = (
    dict(delta=0.4), dict(mixed_layers="conv*"), dict(attention_steps=0), dict(score="class-mean"), dict(gates="fixed"),
    dict(beta_initial=1.0), dict(alpha_learning_rate=0.01), dict(beta_learning_rate=0.01), dict(defence_queries="split"),
    dict(split_queries=2),
)  # fmt: skip
WITH_HIGH = [name for name in NUMBERS if FIELDS[name].metadata["high"] is not None]


@pytest.mark.parametrize(
    ("arguments", "overrides", "named"),
    [
        (("imagenet",), {}, "imagenet"),
        (("omniglot", "fast"), {}, "fast"),
        (("omniglot",), {"epsilonn": 1}, "epsilonn"),
        (("omniglot",), {"lambda": 3.0}, "lambda"),
    ],
)
def test_unknown_names_are_refused(arguments, overrides, named):
    with pytest.raises(ConfigError, match=named):
        make_config(*arguments, **overrides)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epsilon_initial", 0),
        ("epsilon_initial", 2),
        ("epsilon_final", -0.1),
        ("attack_epsilon", 0.0),
        ("attack_epsilon", 1.01),
        ("eta", 0.0),
        ("alpha", math.nan),
        ("lambda_", math.inf),
        ("lambda_", 1e39),  # infinity in float32
        ("lambda_", 10**400),  # no float at all
        ("aggregation_norm", 0.0),
        ("ways", 1),
        ("ways", 5.0),
        ("ways", "5"),
        ("shots", None),
        ("seed", -1),
        ("seed", 2**62),  # Keras' initializers take no such seed
        ("clients_per_round", 4),
        ("tasks", 1),
        ("backdoor_in_task", 0),
        ("backdoor_in_task", 5),
        ("target_keyed", 1),
        ("target_keyed", "yes"),
        ("statistics", "batch"),
        ("delta", math.nan),
        ("delta", -0.01),
        ("delta", 1.01),
        ("delta", "0.3"),
        ("attention_steps", -1),
        ("score", "mean"),
        ("gates", "open"),
        ("beta_initial", -1.0),
        ("beta_initial", 1e7),
        ("eta_alpha", -0.1),
        ("eta_beta", 1.5),
        ("matching_queries", "all"),
        ("split_queries", 0),
        ("mixed_layers", None),
        ("trigger_corner", "right-lower"),
        ("adam_state", True),
        ("downsample", "pool"),
    ],
)
def test_values_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=f"^{field} = "):
        make_config("omniglot", **{field: value})


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_field_takes_nan_infinity_bool_or_less_than_its_low(name):
    low = FIELDS[name].metadata["low"]
    assert low is not None
    for wrong in (math.nan, math.inf, -math.inf, True, False, low - 1):
        with pytest.raises(ConfigError, match=f"^{name} = "):
            Config(**{name: wrong})


@pytest.mark.parametrize("name", WITH_HIGH)
def test_no_number_field_takes_more_than_its_high(name):
    high = FIELDS[name].metadata["high"]
    with pytest.raises(ConfigError, match=f"^{name} = .*at most {high}"):
        Config(**{name: high + 1})


@pytest.mark.parametrize("name", [name for name in NUMBERS if FIELDS[name].metadata["open_low"]])
def test_an_open_range_excludes_its_low(name):
    with pytest.raises(ConfigError, match=rf"^{name} = .*above"):
        Config(**{name: FIELDS[name].metadata["low"]})


@pytest.mark.parametrize("name", ["pretraining_episodes", "attack_episodes", "attack_chunk", "round_episodes"])
def test_episodes_come_in_whole_meta_batches(name):
    with pytest.raises(ConfigError, match=f"^{name} = 12 .*meta_batch = 5"):
        Config(**{name: 12})
    assert getattr(Config(**{name: 15}), name) == 15


def test_poison_fills_the_target_class():
    with pytest.raises(ConfigError, match=r"poison_backdoor = 5 .*poison_target = 6"):
        Config(triggered_shots=5)
    assert Config(triggered_shots=5, target_shots=5).shots == 10


def test_backdoor_classes_leave_room_for_the_target():
    assert Config(backdoor_classes_in_task=4, ways=5).backdoor_in_task == 4
    with pytest.raises(ConfigError, match="backdoor_in_task = 4"):
        Config(backdoor_classes_in_task=4, ways=4)


def test_the_ends_of_the_defences_ranges_are_in_them():
    for fields in (
        dict(delta=0),
        dict(delta=1),
        dict(attention_steps=0),
        dict(alpha_learning_rate=0, beta_learning_rate=0, beta_initial=0),
    ):
        config = Config(**fields)
        assert all(getattr(config, name) == value for name, value in fields.items())


def test_a_split_leaves_support():
    assert Config(defence_queries="split", split_queries=4, task_shots=5).split_queries == 4
    assert Config(split_queries=5, task_shots=5).split_queries == 5  # not used
    with pytest.raises(ConfigError, match=r"^split_queries = 5 leaves no support .* 5 of a class \(task_shots\)"):
        Config(defence_queries="split", split_queries=5, task_shots=5)
    with pytest.raises(ConfigError, match=r"^split_queries = 1 .*task_shots"):
        Config(defence_queries="split", task_shots=1)


def test_a_configuration_is_a_constant():
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.meta_learning.ways = 3
    assert hash(config) == hash(Config()) and config != Config(seed=1)
    assert isinstance(Config(boost=3).lambda_, float)  # or a tag and a manifest would tell 3 from 3.0


def test_stages_nest():
    config = Config()
    seen = {}
    for stage in STAGES:
        fields = config.upto(stage)
        assert seen.items() < fields.items()
        assert all(FIELDS[name].metadata["stage"] == stage for name in fields.keys() - seen.keys())
        seen = fields
    assert seen == config.to_dict()


@pytest.mark.parametrize(
    ("change", "first_stage"),
    [
        (dict(split_seed=1), "partition"),
        (dict(filters=8), "pretraining"),
        (dict(seed=1), "pretraining"),
        (dict(adam_state="reset"), "pretraining"),
        (dict(trigger_size=3), "attack"),
        (dict(boost=4.0), "attack"),
        (dict(attack_checkpoint_episodes=10), "attack"),
        (dict(round_episodes=10), "attack"),
        (dict(rounds_after=3), "rounds"),
        (dict(tasks=3), "evaluation"),
        (dict(statistics="queries"), "evaluation"),
        *[(change, "evaluation") for change in DEFENCE],
    ],
)
def test_a_change_reaches_its_own_stage_and_later_ones_only(change, first_stage):
    plain, changed = Config(), Config(**change)
    differs = [plain.upto(stage) != changed.upto(stage) for stage in STAGES]
    begin = STAGES.index(first_stage)
    assert differs == [False] * begin + [True] * (len(STAGES) - begin)


def test_every_field_is_documented():
    rows = list(describe(Config(seed=3)))
    assert [name for name, *_ in rows] == list(FIELDS)
    assert all(meaning and source for _, _, meaning, source in rows)
    assert {name: value for name, value, _, _ in rows}["seed"] == 3


def test_configuration_partition_tasks_and_trigger_load_no_tensorflow():
    modules = (
        "tfmeta, tfmeta.config, tfmeta.utils.seeds, tfmeta.datasets.partition, tfmeta.datasets.shards, tfmeta.attacks.triggers.base, tfmeta.meta_learning.tasks"
    )
    code = f"import sys, {modules}; print([name for name in sys.modules if name.startswith('tensorflow')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
