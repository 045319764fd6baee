"""Fields as words: the command line's settings, and the tags that tell runs apart."""

import json
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tfmeta.config import PROFILE_NAMES, Config, changed_fields, fields, make_config, parse_settings, resolve, tag_of
from tfmeta.errors import ConfigError

QUICK = make_config("omniglot", "quick")


def tag(config, plain=QUICK):
    return tag_of(changed_fields(plain, config))


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_settings_read_what_they_print(profile):
    values = make_config("omniglot", profile).upto("evaluation")
    assert parse_settings([f"{name}={value}" for name, value in values.items()]) == values
    assert parse_settings([f"{name} = {json.dumps(value)}" for name, value in values.items()]) == values


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("defence.delta", "defence.delta"),
        ("delta", "defence.delta"),
        ("defence", "defence.name"),
        ("attack", "attack.name"),
        ("lambda", "attack.boost"),
        ("eta", "meta_learning.inner_learning_rate"),
        ("attack_inner_steps", "attack.inner_steps"),
        ("trigger_size", "trigger.size"),
        ("attack", "attack.name"),
        ("defence", "defence.name"),
    ],
)
def test_a_field_is_found_by_full_name_bare_name_symbol_and_keyword(name, full):
    assert resolve(name) == full


@pytest.mark.parametrize("name", ["inner_steps", "meta_step_sizes", "epsilon", "E", "", "federation", "defence."])
def test_a_name_of_no_field_or_of_several_is_refused(name):
    with pytest.raises(ConfigError, match="field"):
        resolve(name)


def test_a_group_is_no_field_but_its_fields_are_named():
    with pytest.raises(ConfigError, match=r"group of fields.*trigger\.pattern"):
        resolve("trigger")


def test_a_field_given_twice_with_different_values_is_refused():
    with pytest.raises(ConfigError, match=r"defence\.delta is given twice"):
        make_config("omniglot", "quick", delta=0.1, **{"defence.delta": 0.2})
    assert make_config("omniglot", "quick", delta=0.1, **{"defence.delta": 0.1}).defence.delta == 0.1


@pytest.mark.parametrize("full", list(fields()))
def test_the_short_name_of_a_field_finds_it(full):
    from tfmeta.config.tags import short_name

    assert resolve(short_name(full)) == full


def test_settings_have_the_fields_types():
    read = parse_settings(["mixed_layers=conv*,norm0", "delta=1", "lambda=5", "triggered_target=true", "seed=7"])
    assert read == {
        "defence.mixed_layers": "conv*,norm0", "defence.delta": 1.0, "attack.boost": 5.0,
        "attack.triggered_target": True, "meta_learning.seed": 7,
    }  # fmt: skip
    assert [type(value) for value in read.values()] == [str, float, float, bool, int]


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("seed", "field=value"),
        ("sed=1", "did you mean seed"),
        ("=1", "unknown field"),
        ("seed=", "seed"),
        ("seed=1.5", "seed"),
        ("seed=true", "seed"),
        ("seed=null", "seed"),
        ("seed=[1]", "seed"),
        ("seed=" + "1" * 5000, "seed"),  # more digits than Python reads
        ("seed=" + "[" * 100_000, "seed"),  # deeper than json reads
        ("eta=1" + "0" * 400, "inner_learning_rate"),
        ("meta_step_size_initial=2", "meta_step_size_initial"),
        ("alpha=NaN", "alpha"),
        ("lambda=Infinity", "boost"),
        ("batch_norm_statistics=batch", "batch_norm_statistics"),
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
    "alpha": st.floats(1e-30, 1),
    "aggregation": st.sampled_from(["sum", "clipping", "zeroing"]),
    "aggregation_norm": st.floats(0.1, 20),
    "boost": st.floats(0.5, 10),
    "inner_learning_rate": st.sampled_from([0.001, 1e-05, 1e-06, 0.1]),
    "trigger_size": st.integers(1, 6),
    "trigger_margin": st.integers(0, 2),
    "trigger_corner": st.sampled_from(["lower-right", "lower-left"]),
    "triggered_target": st.booleans(),
    "target_replacement": st.booleans(),
    "runtime": st.sampled_from(["tff", "inprocess"]),
    "delta": st.floats(0, 1, width=32, allow_subnormal=False),
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
    plain = make_config("omniglot", profile)
    first, second = make_config("omniglot", profile, **one), make_config("omniglot", profile, **other)
    assert (tag(first, plain) == tag(second, plain)) == (first == second)


@settings(deadline=None)
@given(overrides)
def test_a_tag_is_a_file_name_that_names_a_changed_field(given_fields):
    config = make_config("omniglot", "quick", **given_fields)
    assume(config != QUICK)
    assert re.fullmatch(r"[a-z][A-Za-z0-9_.=+-]{0,79}", tag(config))
    assert any(name.partition(".")[2] in tag(config) for name in changed_fields(QUICK, config))


def test_a_short_tag_is_readable():
    assert tag(QUICK) is None
    assert tag(make_config("omniglot", "quick", seed=7)) == "seed=7"
    assert tag(make_config("omniglot", "quick", seed=7, boost=5)) == "seed=7+boost=5.0"
    assert tag(make_config("omniglot", "quick", attack_inner_steps=9)) == "attack.inner_steps=9"


def test_a_long_or_wild_tag_keeps_its_first_words_and_ends_in_a_digest():
    many = make_config("omniglot", "quick", seed=7, boost=5, alpha=0.123456789, inner_learning_rate=0.01)
    assert re.fullmatch(r"seed=7\+inner_learning_rate=0\.01\+alpha=0\.123456789\+and-1-more-[0-9a-f]{8}", tag(many))
    wild = [tag(make_config("omniglot", "quick", mixed_layers=layers)) for layers in ("conv*", "conv?", "norm*")]
    assert re.fullmatch(r"mixed_layers=conv_-[0-9a-f]{8}", wild[0]) and len(set(wild)) == 3
    long = tag(make_config("omniglot", "quick", mixed_layers="conv0,norm0,conv1,norm1,conv2,norm2,conv3,norm3"))
    assert re.fullmatch(r"mixed_layers=[a-z0-9_]+-[0-9a-f]{8}", long)


def test_changed_fields_are_those_that_differ():
    plain = make_config("omniglot", "quick", delta=0.6)
    assert changed_fields(plain, plain) == {}
    other = plain.replace({"defence.delta": 0.5, "defence.gates": "fixed"})
    assert changed_fields(plain, other) == {"defence.delta": 0.5, "defence.gates": "fixed"}
    assert changed_fields(other, plain) == {"defence.delta": 0.6, "defence.gates": "projected"}
    assert changed_fields(Config(), make_config("omniglot", "paper")) == {}
