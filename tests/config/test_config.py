"""The configuration: ranges, rules, stages."""

import dataclasses
import math
import subprocess
import sys

import pytest

from tfmeta.config import STAGES, Config, fields, make_config
from tfmeta.config.fields import allowed, checked, number, restated
from tfmeta.errors import ConfigError

NUMBERS = [name for name, field in fields().items() if field.type in (int, float)]
WHOLE_META_BATCHES = [name for name, field in fields().items() if field.metadata["whole_meta_batches"]]


def changed(**overrides):
    return make_config("omniglot", "paper", **overrides)


@pytest.mark.parametrize(
    ("arguments", "overrides", "named"),
    [
        (("imagenet",), {}, "imagenet"),
        (("omniglot", "fast"), {}, "fast"),
        (("omniglot",), {"epsilonn": 1}, "epsilonn"),
        (("omniglot",), {"inner_steps": 1}, "meta_learning.inner_steps or attack.inner_steps"),
    ],
)
def test_unknown_and_ambiguous_names_are_refused(arguments, overrides, named):
    with pytest.raises(ConfigError, match=named):
        make_config(*arguments, **overrides)


@pytest.mark.parametrize(
    ("arguments", "overrides", "nearest"),
    [
        (("omniglott",), {}, "omniglot"),
        (("omniglot", "quik"), {}, "quick"),
        (("omniglot",), {"dleta": 0.5}, "delta"),
        (("omniglot",), {"defense.delta": 0.5}, "defence.delta"),
        (("omniglot",), {"attack": "model_replacment"}, "model_replacement"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(arguments, overrides, nearest):
    with pytest.raises(ConfigError, match=rf"did you mean {nearest}\?"):
        make_config(*arguments, **overrides)


@pytest.mark.parametrize("field", ["attack", "defence", "trigger_pattern", "aggregation", "model"])
def test_an_unknown_plug_in_is_told_how_to_load_ones_own(field):
    with pytest.raises(ConfigError, match=r"'xyz'.*: give one of .*, or load your own with --plugin FILE$"):
        make_config("omniglot", **{field: "xyz"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("meta_learning.meta_step_size_initial", 0),
        ("meta_learning.meta_step_size_initial", 2),
        ("meta_learning.meta_step_size_final", -0.1),
        ("attack.meta_step_size", 0.0),
        ("attack.meta_step_size", 1.01),
        ("meta_learning.inner_learning_rate", 0.0),
        ("federation.alpha", math.nan),
        ("attack.boost", math.inf),
        ("attack.boost", 1e39),  # infinity in float32
        ("attack.boost", 10**400),  # no float at all
        ("federation.aggregation_norm", 0.0),
        ("federation.aggregation", "average"),
        ("meta_learning.ways", 1),
        ("meta_learning.ways", 5.0),
        ("meta_learning.ways", "5"),
        ("meta_learning.shots", None),
        ("meta_learning.seed", -1),
        ("meta_learning.seed", 2**62),  # Keras initializers take no such seed
        ("meta_learning.adam_state", True),
        ("meta_learning.downsample", "pool"),
        ("federation.clients_per_round", 0),
        ("evaluation.tasks", 1),
        ("evaluation.backdoor_classes_in_task", 0),
        ("evaluation.backdoor_classes_in_task", 5),
        ("evaluation.batch_norm_statistics", "batch"),
        ("attack.name", "replacement"),
        ("attack.triggered_target", 1),
        ("attack.triggered_target", "yes"),
        ("trigger.pattern", "dots"),
        ("trigger.corner", "right-lower"),
        ("defence.delta", math.nan),
        ("defence.delta", -0.01),
        ("defence.delta", 1.01),
        ("defence.delta", "0.3"),
        ("defence.attention_steps", -1),
        ("defence.score", "mean"),
        ("defence.gates", "open"),
        ("defence.beta_initial", -1.0),
        ("defence.beta_initial", 1e7),
        ("defence.alpha_learning_rate", -0.1),
        ("defence.beta_learning_rate", 1.5),
        ("defence.queries", "all"),
        ("defence.split_queries", 0),
        ("defence.mixed_layers", None),
    ],
)
def test_a_value_out_of_range_is_refused_with_field_and_range(field, value):
    with pytest.raises(ConfigError) as refused:
        changed(**{field: value})
    assert str(refused.value).startswith(f"{field} = ")
    assert allowed(fields()[field]) in str(refused.value) or "finite" in str(refused.value)


@pytest.mark.parametrize("name", [name for name in NUMBERS if fields()[name].type is float])
def test_no_number_takes_what_float32_cannot_hold(name):
    """Runs compute in float32, where 1e-320 and 1e-50 are 0, and TensorFlow takes 1e-39 for 0 too."""
    field = fields()[name]
    if not field.metadata["float32"]:
        return  # a plug-in's own option, which it may compute with as it likes
    for wrong in (1e-320, 1e-50, 1e-39, 1e39):
        with pytest.raises(ConfigError, match=f"^{name} = "):
            changed(**{name: wrong})


def test_a_value_that_float32_cannot_hold_is_refused_with_what_it_would_be():
    with pytest.raises(ConfigError, match=r"^federation\.alpha = 1e-320 .*in float32, .*this is 0; .*least 1\.18e-38$"):
        changed(alpha=1e-320)
    assert changed(alpha=2e-38).federation.alpha == 2e-38 and changed(delta=0.0).defence.delta == 0


def test_a_replacement_whose_boost_float32_cannot_hold_is_refused():
    with pytest.raises(ConfigError, match=r"replacement = 1000000.0 over federation.alpha = 1e-35 .*this is infinity"):
        changed(replacement=1e6, alpha=1e-35)


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_takes_nan_infinity_bool_or_less_than_its_low(name):
    low = fields()[name].metadata["low"]
    assert low is not None
    for wrong in (math.nan, math.inf, -math.inf, True, False, low - 1):
        with pytest.raises(ConfigError, match=f"^{name} = "):
            changed(**{name: wrong})


@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_takes_more_than_its_high(name):
    for wrong in (fields()[name].metadata["high"] + 1, 10**20, 10**5000):
        with pytest.raises(ConfigError, match=f"^{name} = "):
            changed(**{name: wrong})


def test_steps_of_whole_batches_fit_32_bits():
    steps = [name for name in NUMBERS if name.endswith(("inner_steps", "fine_tuning_steps", "task_steps"))]
    images = fields()["meta_learning.inner_batch_size"].metadata["high"]
    assert len(steps) == 4 and all(fields()[name].metadata["high"] * images < 2**31 for name in steps)


def test_an_option_without_bounds_takes_no_more_than_64_bits():
    option = restated("defence.mine", int, number(0, "mine", None))
    assert checked("defence.mine", option, 2**63 - 1) == 2**63 - 1
    for wrong in (2**63, -(2**63), 10**5000):
        with pytest.raises(ConfigError, match=r"^defence.mine = .*63 bits"):
            checked("defence.mine", option, wrong)


@pytest.mark.parametrize("name", [name for name in NUMBERS if fields()[name].metadata["above"]])
def test_a_range_that_starts_above_its_low_excludes_it(name):
    with pytest.raises(ConfigError, match=rf"^{name} = .*above"):
        changed(**{name: fields()[name].metadata["low"]})


@pytest.mark.parametrize("name", WHOLE_META_BATCHES)
def test_episodes_come_in_whole_meta_batches(name):
    with pytest.raises(ConfigError, match=f"^{name} = 12 .*meta_batch_size = 5"):
        changed(**{name: 12})
    assert changed(**{name: 15})[name] == 15


def test_poison_fills_the_target_class():
    with pytest.raises(ConfigError, match=r"triggered_shots = 5 .*target_shots = 6"):
        changed(triggered_shots=5)
    assert changed(triggered_shots=5, target_shots=5).meta_learning.shots == 10


def test_backdoor_classes_leave_room_for_the_target():
    assert changed(backdoor_classes_in_task=4, ways=5).evaluation.backdoor_classes_in_task == 4
    with pytest.raises(ConfigError, match="backdoor_classes_in_task = 4"):
        changed(backdoor_classes_in_task=4, ways=4)


@pytest.mark.parametrize(
    "ends",
    [
        dict(delta=0),
        dict(delta=1),
        dict(attention_steps=0),
        dict(alpha_learning_rate=0, beta_learning_rate=0, beta_initial=0),
    ],
)
def test_the_ends_of_the_defence_ranges_are_allowed(ends):
    config = changed(**ends)
    assert all(getattr(config.defence, name) == value for name, value in ends.items())


def test_a_split_leaves_support():
    assert changed(queries="split", split_queries=4, task_shots=5).defence.split_queries == 4
    assert changed(split_queries=5, task_shots=5).defence.split_queries == 5  # not used
    for shots, queries in ((5, 5), (1, 1)):
        with pytest.raises(ConfigError, match=rf"^split_queries = {queries} .*task_shots"):
            changed(queries="split", split_queries=queries, task_shots=shots)


def test_a_configuration_is_a_constant():
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.meta_learning.ways = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.meta_learning = None
    assert hash(config) == hash(Config()) and config != changed(seed=1)
    assert isinstance(changed(boost=3).attack.boost, float)  # or a tag and a manifest would tell 3 from 3.0


def test_stages_nest():
    config, seen = Config(), {}
    for stage in STAGES:
        decided = config.upto(stage)
        assert seen.items() < decided.items()
        assert all(fields()[name].metadata["stage"] == stage for name in decided.keys() - seen.keys())
        seen = decided
    assert seen == {f"{group}.{name}": v for group, values in config.to_dict().items() for name, v in values.items()}


@pytest.mark.parametrize(
    ("change", "first_stage"),
    [
        (dict(split_seed=1), "partition"),
        (dict(filters=8), "pretraining"),
        (dict(seed=1), "pretraining"),
        (dict(adam_state="reset"), "pretraining"),
        (dict(trigger_size=3), "attack"),
        (dict(boost=4.0), "attack"),
        (dict(checkpoint_episodes=10), "attack"),
        (dict(round_episodes=10), "attack"),
        (dict(rounds_after=3), "rounds"),
        (dict(tasks=3), "evaluation"),
        (dict(batch_norm_statistics="queries"), "evaluation"),
        (dict(delta=0.4), "evaluation"),
        (dict(mixed_layers="conv*"), "evaluation"),
        (dict(queries="split"), "evaluation"),
    ],
)
def test_a_change_reaches_its_own_stage_and_later_ones_only(change, first_stage):
    plain, other = Config(), changed(**change)
    differs = [plain.upto(stage) != other.upto(stage) for stage in STAGES]
    begin = STAGES.index(first_stage)
    assert differs == [False] * begin + [True] * (len(STAGES) - begin)


def test_every_field_is_documented():
    for name, field in fields().items():
        assert field.metadata["doc"] and field.metadata["source"] and field.metadata["stage"] in STAGES, name


def test_the_paper_symbols_name_their_fields():
    symbols = {field.metadata["symbol"]: name for name, field in fields().items() if field.metadata["symbol"]}
    assert symbols["lambda"] == "attack.boost" and symbols["eta"] == "meta_learning.inner_learning_rate"
    assert {"delta", "alpha", "beta", "epsilon", "N", "K", "B", "e", "b", "E", "M_r"} <= symbols.keys()


def test_configuration_partition_tasks_and_trigger_load_no_tensorflow():
    modules = (
        "tfmeta, tfmeta.config, tfmeta.registry, tfmeta.simulation, tfmeta.utils.seeds, tfmeta.datasets.partition, "
        "tfmeta.datasets.shards, tfmeta.attacks.triggers.base, tfmeta.meta_learning.tasks"
    )
    code = f"import sys, {modules}; print([name for name in sys.modules if name.startswith('tensorflow')])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
