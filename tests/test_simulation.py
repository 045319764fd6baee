"""A simulation, and its variants: other evaluations of the same models."""

import functools
import math

import numpy as np
import pytest

import tfmeta
from tfmeta.defences.fine_tuning import FineTuning
from tfmeta.defences.matching import Matching
from tfmeta.errors import ConfigError
from tfmeta.meta_learning import evaluation
from tfmeta.meta_learning.adaptation import AdaptationSettings

CHANGED = dict(runtime="inprocess", seed=5)


def adapt(model, evaluation, weights, support, labels, query_groups, seed, points):
    """Fine-tune, as a function."""
    return FineTuning().adapt(model, evaluation, weights, support, labels, query_groups, seed, points)


@pytest.fixture(scope="module")
def sim(glyphs_bank, cache_dir, tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    with tfmeta.Simulation("glyphs", "smoke", results=results, cache_dir=cache_dir, **CHANGED) as sim:
        yield sim


@pytest.fixture
def no_data(tmp_path):
    """Folders without data: whatever reads data there fails."""
    return {"data_dir": tmp_path / "missing", "cache_dir": tmp_path / "cache"}


@pytest.mark.parametrize(
    ("arguments", "fields", "named"),
    [
        (("omniglott",), {}, "did you mean omniglot"),
        (("omniglot", "quik"), {}, "did you mean quick"),
        (("auto", "quick"), {"dleta": 0.5}, "did you mean delta"),
        (("auto", "quick"), {"delta": 2.0}, "defence.delta = 2.0"),
        (("auto", "quick"), {"mixed_layers": "conv7"}, "conv7"),
        (("auto", "quick"), {"attack": "replacement"}, "attack"),
        (("auto", "quick"), {"defence": "matchin"}, "did you mean matching"),
        (("auto", "quick"), {"trigger_size": 40}, "trigger.size = 40"),
        (("auto", "quick"), {"trigger_color": "red-cyan"}, "red-cyan"),
        (("auto", "quick"), {"attack": "model_replacement", "attack_name": "other"}, "attack"),
    ],
)
def test_wrong_names_and_values_are_refused_before_data_is_read(no_data, arguments, fields, named):
    with pytest.raises(ConfigError, match=named):
        tfmeta.Simulation(*arguments, **fields, **no_data)
    assert not no_data["cache_dir"].exists()


@pytest.mark.parametrize("profile", ["desk", "paper"])
def test_auto_refuses_a_stand_in_for_a_profile_of_real_data(tmp_path, monkeypatch, profile):
    monkeypatch.setenv("TFMETA_OMNIGLOT_URL", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(ConfigError, match=r"no real Omniglot.*glyphs"):
        tfmeta.Simulation("auto", profile, data_dir=tmp_path, cache_dir=tmp_path)


def test_weights_are_found_by_name_and_by_round(sim):
    for name, number in (("pretrained", 0), ("before_attack", 1), ("attacked", 2)):
        named, numbered = sim.weights(name, case="a"), sim.weights(number, case="a")
        assert all((one == other).all() for one, other in zip(named, numbered, strict=True))
    assert (sim.weights("attacked")[0] != sim.weights("before_attack")[0]).any()


@pytest.mark.parametrize("model", ["atacked", "x", -1, 99])
def test_an_unknown_model_is_refused(sim, model):
    with pytest.raises(ConfigError, match=str(model)):
        sim.weights(model)


def test_unknown_cases_and_users_are_refused(sim):
    with pytest.raises(ConfigError, match="case"):
        sim.weights("attacked", case="d")
    for user in (1, 5, "2"):
        with pytest.raises(ConfigError, match="benign user"):
            sim.tasks("a", user)


def test_measure_gives_a_tidy_table_of_the_accuracies(sim):
    weights = sim.weights("attacked")
    table = sim.measure(weights, case="a", user=2, defence="fine_tuning", points=(0, 3))
    assert list(table.columns) == ["case", "user", "defence", "iteration", "task", "metric", "accuracy"]
    arrays = sim.accuracies(weights, "a", 2, "fine_tuning", (0, 3))
    assert set(table.metric) == arrays.keys() and len(table) == sum(values.size for values in arrays.values())
    for row in table.itertuples():
        assert row.accuracy == float(arrays[row.metric][(0, 3).index(row.iteration), row.task])


def test_meta_test_tasks_and_a_function_as_defence_can_be_measured(sim):
    weights, named = sim.weights("attacked"), dict(user=None, points=(0, 3))
    table = sim.measure(weights, defence=adapt, **named)
    assert set(table.metric) == {"meta_test"} and set(table.defence) == {"adapt"} and table.user.isna().all()
    by_name = sim.measure(weights, defence="fine_tuning", **named)
    for other in (adapt, functools.partial(adapt), FineTuning, FineTuning()):
        assert (sim.measure(weights, defence=other, **named).accuracy == by_name.accuracy).all()


def test_a_variant_changes_its_own_fields_only(sim):
    before = sim.config
    variant = sim.variant(delta=0.5, gates="fixed")
    assert variant.config == before.replace({"defence.delta": 0.5, "defence.gates": "fixed"})
    assert sim.config is before and sim.variation is None
    assert (sim.variant().config, sim.variant().variation) == (before, None)
    assert variant.variant(delta=before.defence.delta).config == before.replace({"defence.gates": "fixed"})


def test_a_variant_is_part_of_its_run(sim):
    """Its results go to the run's folder, under names of their own."""
    variant = sim.variant(delta=0.5)
    assert sim.tag == variant.tag == "seed=5+runtime=inprocess"
    assert sim.changed == {"meta_learning.seed": 5, "federation.runtime": "inprocess"}
    assert variant.variation == "delta=0.5" and sim.variant(task_seed=1).variation == "task_seed=1"
    assert variant.variant(gates="fixed").variation == "delta=0.5+gates=fixed"  # still of the run
    assert variant.variant(delta=sim.config.defence.delta).variation is None
    assert variant.results == sim.results


@pytest.mark.parametrize("read_first", [(), ("setting", "client_data", "model", "trigger"), ("setting",)])
def test_everything_of_a_variant_has_its_configuration_whatever_was_read_before(sim, read_first):
    for name in read_first:
        getattr(sim, name)
    variant = sim.variant(delta=0.5, tasks=3)
    assert variant.setting.config == variant.config != sim.setting.config == sim.config
    assert variant.client_data._config == variant.config
    assert len(variant.tasks("a", 2)) == 3 and len(sim.tasks("a", 2)) == 2


def test_a_variant_shares_data_models_and_worker(sim):
    variant = sim.variant(delta=0.5)
    assert variant.bank is sim.bank and variant.partition is sim.partition
    for case in ("a", "b"):
        assert variant.timeline(case) is sim.timeline(case)
        assert sim.results in sim.timeline(case).folder("rounds").parents
    federation = variant.federation()
    assert sim.federation() is federation and sim.variant(tasks=3).federation() is federation
    variant.close()
    assert sim.federation() is not federation


def test_a_variant_has_tasks_of_its_own(sim):
    plain, same = sim.tasks("a", 2), sim.variant(delta=0.5).tasks("a", 2)
    other = sim.variant(task_seed=1).tasks("a", 2)
    assert (plain.seeds == same.seeds).all() and (plain.support == same.support).all()
    assert (plain.seeds != other.seeds).any() and (plain.support != other.support).any()


def test_variants_share_the_tasks_that_are_the_same(sim):
    assert sim.variant(delta=0.5).tasks("a", 2) is sim.tasks("a", 2) is sim.tasks("b", 2)
    assert sim.tasks("c", None) is sim.tasks("a", None)
    assert sim.tasks("c", 2) is not sim.tasks("a", 2)


def test_a_tilde_is_the_home_folder(glyphs_bank, cache_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert tfmeta.Simulation("glyphs", "smoke", results="~/r", cache_dir=cache_dir).results == tmp_path / "r"


def test_the_number_of_workers_limits_the_tasks_at_once(sim, cache_dir, monkeypatch):
    one = tfmeta.Simulation("glyphs", "smoke", cache_dir=cache_dir, workers=1, **CHANGED)
    done = []
    one.accuracies(sim.model.initial_weights(1), "a", 2, "fine_tuning", (0,), done.append)
    assert done == [1, 1]


def test_a_variant_measures_with_its_fields(sim):
    weights, settings = sim.model.initial_weights(1), AdaptationSettings.of(sim.config)
    for of, delta in ((sim, sim.config.defence.delta), (sim.variant(delta=0.0), 0.0)):
        found, own = of.accuracies(weights, "a", 2, "matching", (0, 1)), Matching(delta=delta).bind(sim.config)
        expected = evaluation.measure(sim.model, settings, weights, sim.tasks("a", 2), (0, 1), own)
        assert all((found[name] == expected[name]).all() for name in expected)
    assert of.accuracies(weights, "a", 2)["main"].shape == (len(evaluation.points_upto(20)), 2)


@pytest.mark.parametrize(
    "field",
    ["data.split_seed", "meta_learning.seed", "meta_learning.filters", "attack.boost", "federation.rounds_after"],
)
def test_a_field_that_decides_a_model_needs_a_new_simulation(sim, field):
    with pytest.raises(ConfigError, match=f"^{field}: .*new Simulation"):
        sim.variant(delta=0.5, **{field: sim.config[field]})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (dict(delt=0.5), "delt"),
        (dict(delta=math.nan), "^defence.delta = nan"),
        (dict(delta=1.5), "^defence.delta = 1.5"),
        (dict(mixed_layers="conv7"), "conv7"),
        (dict(task_shots=40), "task_shots"),  # more than a user has
        (dict(queries="split", split_queries=5), "^split_queries = 5"),
    ],
)
def test_bad_values_of_a_variant_are_refused_by_name(sim, fields, named):
    with pytest.raises(ConfigError, match=named):
        sim.variant(**fields)


@pytest.mark.parametrize("defence", ["attention", "Matching"])
def test_an_unknown_defence_is_refused_by_name(sim, defence):
    weights = [np.zeros(shape, np.float32) for shape in sim.model.shapes]
    with pytest.raises(ConfigError, match=f"^unknown defence '{defence}'"):
        sim.measure(weights, defence=defence)
