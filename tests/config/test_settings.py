"""Fields as words: the command line's settings, and the tags that tell runs apart."""

import dataclasses
import json
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tfmeta.config import PROFILE_NAMES, Config, difference, make_config, parse_settings, tag
from tfmeta.errors import ConfigError


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_settings_read_what_they_print(profile):
    values = make_config("omniglot", profile).to_dict()
    assert parse_settings([f"{name}={value}" for name, value in values.items()]) == values
    assert parse_settings([f"{name} = {json.dumps(value)}" for name, value in values.items()]) == values


def test_settings_have_the_fields_types():
    assert parse_settings(["mixed_layers=conv*,norm0", "delta=1"]) == {"mixed_layers": "conv*,norm0", "delta": 1.0}
    read = parse_settings(["lambda=5", "triggered_target=true", "trigger_pattern=cross", "seed=7"])
    assert read == {"boost": 5.0, "triggered_target": True, "trigger_pattern": "cross", "seed": 7}
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
        ("meta_step_size_initial=2", "epsilon_initial"),
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
    "boost": st.floats(0.5, 10),
    "eta": st.sampled_from([0.001, 1e-05, 1e-06, 0.1]),
    "trigger_size": st.integers(1, 6),
    "trigger_margin": st.integers(0, 2),
    "trigger_corner": st.sampled_from(["lower-right", "lower-left"]),
    "triggered_target": st.booleans(),
    "target_replacement": st.booleans(),
    "runtime": st.sampled_from(["tff", "inprocess"]),
    "delta": st.floats(0, 1),
    "mixed_layers": st.sampled_from(["*", "conv*", "conv0,norm0", "logits"]),
    "attention_steps": st.integers(0, 11),
    "gates": st.sampled_from(["projected", "sigmoid", "fixed"]),
    "alpha_learning_rate": st.sampled_from([0.001, 0.01, 0.1]),
    "beta_learning_rate": st.sampled_from([0.001, 0.01, 0.1]),
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
    assert tag("omniglot", "quick", make_config("omniglot", "quick", seed=7, boost=5)) == "lambda_5.0-seed7"
    assert tag("omniglot", "quick", make_config("omniglot", "quick", runtime="inprocess")) == "runtime_inprocess"
    many = make_config("omniglot", "quick", seed=7, boost=5, alpha=0.123456789, eta=0.01)
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
