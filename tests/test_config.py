"""The configuration: the ledger's numbers, ranges, the command line's settings, tags and stages."""

import dataclasses
import json
import math
import re
import subprocess
import sys

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tfmeta.config import (
    PROFILE_NAMES,
    PROFILES,
    STAGES,
    Config,
    describe,
    difference,
    make_config,
    parse_settings,
    tag,
)
from tfmeta.config.layers import WEIGHTS, chosen
from tfmeta.errors import ConfigError

FIELDS = {field.name: field for field in dataclasses.fields(Config)}
NUMBERS = [name for name, field in FIELDS.items() if field.type in (int, float)]
DEFENCE = (
    dict(delta=0.4), dict(mixed_layers="conv*"), dict(attention_steps=0), dict(score="class-mean"), dict(gates="fixed"),
    dict(beta_initial=1.0), dict(eta_alpha=0.01), dict(eta_beta=0.01), dict(matching_queries="split"),
    dict(split_queries=2),
)  # fmt: skip
WITH_HIGH = [name for name in NUMBERS if FIELDS[name].metadata["high"] is not None]


def test_paper_profile_is_the_ledger():
    paper = make_config("omniglot", "paper").to_dict()
    ledger = dict(
        ways=5, shots=10, filters=64, downsample="pool-valid", meta_batch=5, inner_steps=10, inner_batch=10,
        eta=0.001, adam_state="carry", epsilon_initial=0.1, epsilon_final=0.1, pretraining_rounds=100,
        pretraining_episodes=1000, clients_per_round=3, alpha=1 / 3, aggregation="sum", runtime="tff", lambda_=3.0,
        attack_episodes=50_000, attack_inner_steps=250, attack_epsilon=0.1, poison_backdoor=4, poison_target=6,
        target_keyed=False, target_replacement=True, round_episodes=1000, rounds_after=50, tasks=40, task_shots=5,
        task_steps=50, finetune_steps=500, backdoor_in_task=1, statistics="support", delta=0.3, mixed_layers="*",
        attention_steps=10, score="examples", gates="projected", beta_initial=10.0, eta_alpha=0.001, eta_beta=0.001,
        matching_queries="leave-one-out",
    )  # fmt: skip
    assert {name: paper[name] for name in ledger} == ledger
    assert make_config("omniglot", "paper") == Config()


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ("smoke", dict(filters=8, pretraining_rounds=2, pretraining_episodes=10, attack_episodes=10, tasks=2)),
        ("quick", dict(filters=32, finetune_steps=200)),
        ("desk", dict(filters=64, finetune_steps=500, tasks=40, epsilon_initial=0.5, epsilon_final=0.1)),
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
    assert config.tasks >= 10 or profile == "smoke"  # issue 2: n at least 10 from quick on


def test_stand_in_has_the_profiles_of_what_it_stands_in_for():
    assert PROFILES["glyphs"] == PROFILES["omniglot"]


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
        Config(poison_backdoor=5)
    assert Config(poison_backdoor=5, poison_target=5).shots == 10


def test_backdoor_classes_leave_room_for_the_target():
    assert Config(backdoor_in_task=4, ways=5).backdoor_in_task == 4
    with pytest.raises(ConfigError, match="backdoor_in_task = 4"):
        Config(backdoor_in_task=4, ways=4)


def test_the_ends_of_the_defences_ranges_are_in_them():
    for fields in (
        dict(delta=0),
        dict(delta=1),
        dict(attention_steps=0),
        dict(eta_alpha=0, eta_beta=0, beta_initial=0),
    ):
        config = Config(**fields)
        assert all(getattr(config, name) == value for name, value in fields.items())


def test_a_split_leaves_support():
    assert Config(matching_queries="split", split_queries=4, task_shots=5).split_queries == 4
    assert Config(split_queries=5, task_shots=5).split_queries == 5  # not used
    with pytest.raises(ConfigError, match=r"^split_queries = 5 leaves no support .* 5 of a class \(task_shots\)"):
        Config(matching_queries="split", split_queries=5, task_shots=5)
    with pytest.raises(ConfigError, match=r"^split_queries = 1 .*task_shots"):
        Config(matching_queries="split", task_shots=1)


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ("*", WEIGHTS),
        ("logits", ("logits/kernel", "logits/bias")),
        ("conv2", ("conv2/kernel",)),
        ("norm?/beta", tuple(f"norm{module}/beta" for module in range(4))),
        ("*/kernel", ("conv0/kernel", "conv1/kernel", "conv2/kernel", "conv3/kernel", "logits/kernel")),
        (" conv0 , norm0/gamma,conv0", ("conv0/kernel", "norm0/gamma")),
    ],
)
def test_layers_are_chosen_by_name_or_wildcard(patterns, names):
    assert chosen(patterns) == set(names)
    assert Config(mixed_layers=patterns).mixed_layers == patterns


@pytest.mark.parametrize(
    ("patterns", "named"),
    [("conv4", "conv4"), ("conv0,dense", "dense"), ("", ""), ("conv0,", ""), ("conv", "conv"), ("CONV0", "CONV0")],
)
def test_layers_that_there_are_not_are_refused_by_name(patterns, named):
    for refused in (lambda: chosen(patterns), lambda: Config(mixed_layers=patterns)):
        with pytest.raises(ConfigError, match=f"^mixed_layers: {named!r} names no layer; .*conv0/kernel.*logits/bias"):
            refused()


def test_a_configuration_is_a_constant():
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.ways = 3
    assert hash(config) == hash(Config()) and config != Config(seed=1)
    assert isinstance(Config(lambda_=3).lambda_, float)  # or a tag and a manifest would tell 3 from 3.0


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_settings_read_what_they_print(profile):
    values = make_config("omniglot", profile).to_dict()
    assert parse_settings([f"{name}={value}" for name, value in values.items()]) == values
    assert parse_settings([f"{name} = {json.dumps(value)}" for name, value in values.items()]) == values


def test_settings_have_the_fields_types():
    assert parse_settings(["mixed_layers=conv*,norm0", "delta=1"]) == {"mixed_layers": "conv*,norm0", "delta": 1.0}
    read = parse_settings(["lambda=5", "target_keyed=true", "trigger_pattern=cross", "seed=7"])
    assert read == {"lambda_": 5.0, "target_keyed": True, "trigger_pattern": "cross", "seed": 7}
    assert [type(value) for value in read.values()] == [float, bool, str, int]


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("seed", "field=value"),
        ("sed=1", "'sed'"),
        ("=1", "unknown field"),
        ("seed=", "seed"),
        ("seed=1.5", "seed"),
        ("seed=true", "seed"),
        ("seed=null", "seed"),
        ("seed=[1]", "seed"),
        ("seed=" + "1" * 5000, "seed"),  # more digits than Python reads
        ("seed=" + "[" * 100_000, "seed"),  # deeper than json reads
        ("eta=1" + "0" * 400, "eta"),
        ("epsilon_initial=2", "epsilon_initial"),
        ("alpha=NaN", "alpha"),
        ("lambda=Infinity", "lambda_"),
        ("statistics=batch", "statistics"),
        ("delta=1.5", "delta"),
        ("delta=NaN", "delta"),
    ],
)
def test_wrong_settings_are_refused_by_name(word, named):
    with pytest.raises(ConfigError, match=named):
        parse_settings([word])


# Values that keep Config's other rules, near to one another and of all kinds.
SOME_FIELDS = {
    "seed": st.integers(0, 1111),
    "split_seed": st.integers(0, 111),
    "task_seed": st.integers(0, 11),
    "tasks": st.integers(2, 111),
    "task_steps": st.integers(1, 111),
    "task_shots": st.integers(1, 11),
    "ways": st.integers(5, 11),
    "filters": st.integers(1, 64),
    "alpha": st.floats(0, 1, exclude_min=True),
    "aggregation": st.sampled_from(["sum", "clipping", "zeroing"]),
    "aggregation_norm": st.floats(0.1, 20),
    "lambda_": st.floats(0.5, 10),
    "eta": st.sampled_from([0.001, 1e-05, 1e-06, 0.1]),
    "trigger_size": st.integers(1, 6),
    "trigger_margin": st.integers(0, 2),
    "trigger_corner": st.sampled_from(["lower-right", "lower-left"]),
    "target_keyed": st.booleans(),
    "target_replacement": st.booleans(),
    "runtime": st.sampled_from(["tff", "inprocess"]),
    "delta": st.floats(0, 1),
    "mixed_layers": st.sampled_from(["*", "conv*", "conv0,norm0", "logits"]),
    "attention_steps": st.integers(0, 11),
    "gates": st.sampled_from(["projected", "sigmoid", "fixed"]),
    "eta_alpha": st.sampled_from([0.001, 0.01, 0.1]),
    "eta_beta": st.sampled_from([0.001, 0.01, 0.1]),
}
overrides = st.fixed_dictionaries({}, optional=SOME_FIELDS)


@settings(deadline=None)
@given(overrides, overrides, st.sampled_from(PROFILE_NAMES))
def test_tags_tell_configurations_apart(one, other, profile):
    first, second = make_config("omniglot", profile, **one), make_config("omniglot", profile, **other)
    tags = [tag("omniglot", profile, config) for config in (first, second)]
    assert (tags[0] == tags[1]) == (first == second)


@settings(deadline=None)
@given(overrides)
def test_a_tag_is_a_short_file_name(given_fields):
    config = make_config("omniglot", "quick", **given_fields)
    assume(config != make_config("omniglot", "quick"))
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", tag("omniglot", "quick", config))


def test_a_short_tag_is_readable():
    assert tag("omniglot", "quick", make_config("omniglot", "quick", seed=7)) == "seed7"
    assert tag("omniglot", "quick", make_config("omniglot", "quick", seed=7, lambda_=5)) == "lambda_5.0-seed7"
    assert tag("omniglot", "quick", make_config("omniglot", "quick", runtime="inprocess")) == "runtime_inprocess"
    many = make_config("omniglot", "quick", seed=7, lambda_=5, alpha=0.123456789, eta=0.01)
    assert re.fullmatch(r"set[0-9a-f]{10}", tag("omniglot", "quick", many))


def test_a_difference_is_between_any_two():
    plain, other = Config(seed=3, delta=0.6), Config(seed=3, delta=0.5, gates="fixed")
    assert difference(plain, plain) is None
    assert (
        difference(plain, other) == "delta_0.5-gates_fixed" and difference(other, plain) == "delta_0.6-gates_projected"
    )
    wild = difference(plain, dataclasses.replace(plain, mixed_layers="conv*"))
    assert re.fullmatch(r"set[0-9a-f]{10}", wild)  # no wildcard in a file's name
    assert wild != difference(plain, dataclasses.replace(plain, mixed_layers="norm*"))


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
        (dict(lambda_=4.0), "attack"),
        (dict(attack_chunk=10), "attack"),
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
        "tfmeta, tfmeta.config, tfmeta.seeds, tfmeta.data.partition, tfmeta.data.pools, tfmeta.trigger, tfmeta.tasks"
    )
    code = f"import sys, {modules}; print([name for name in sys.modules if name.startswith('tensorflow')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
