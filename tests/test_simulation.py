"""Variants of a laboratory: other evaluations of the same models."""

import dataclasses
import math

import numpy as np
import pytest

from tfmeta.errors import ConfigError
from tfmeta.meta_learning import evaluation
from tfmeta.simulation import Simulation


@pytest.fixture(scope="module")
def sim(glyphs_bank, cache_dir, tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    with Simulation("glyphs", "smoke", results=results, cache_dir=cache_dir, runtime="inprocess", seed=5) as sim:
        yield sim


def test_a_variant_changes_its_own_fields_only(sim):
    before = sim.config
    variant = sim.variant(delta=0.5, gates="fixed")
    assert variant.config == dataclasses.replace(before, delta=0.5, gates="fixed")
    assert sim.config is before and sim.variation is None
    assert (sim.variant().config, sim.variant().variation) == (before, None)
    assert variant.variant(delta=before.delta).config == dataclasses.replace(before, gates="fixed")


def test_a_variant_is_part_of_its_run(sim):
    """Its results go to the run's folder, under names of their own."""
    variant = sim.variant(delta=0.5)
    assert sim.tag == variant.tag == "runtime_inprocess-seed5"
    assert variant.variation == "delta_0.5" and sim.variant(task_seed=1).variation == "task_seed1"
    assert variant.variant(gates="fixed").variation == "delta_0.5-gates_fixed"  # still of the run
    assert variant.variant(delta=sim.config.defence.delta).variation is None
    assert variant.results == sim.results


def test_a_variant_shares_data_models_and_worker(sim):
    variant = sim.variant(delta=0.5)
    assert variant.bank is sim.bank and variant.partition is sim.partition
    for case in ("a", "b"):
        folders = [each.timeline_of(case).folder("rounds") for each in (variant, sim)]
        assert folders[0] == folders[1] and sim.results in folders[0].parents
    federation = variant.federation()
    assert sim.federation() is federation and sim.variant(tasks=3).federation() is federation
    variant.close()
    assert sim.federation() is not federation


def test_a_variant_has_tasks_of_its_own(sim):
    plain, same = sim.tasks("a", 2), sim.variant(delta=0.5).tasks("a", 2)
    other, more = sim.variant(task_seed=1).tasks("a", 2), sim.variant(tasks=3).tasks("a", 2)
    assert (plain.seeds == same.seeds).all() and (plain.support == same.support).all()
    assert (plain.seeds != other.seeds).any() and (plain.support != other.support).any()
    assert (len(plain), len(more)) == (2, 3)


def test_a_variant_measures_with_its_fields(sim):
    weights = sim.model.initial_weights(1)
    for of in (sim, sim.variant(delta=0.0)):
        found = of.measure(weights, "a", 2, "matching", (0, 1))
        expected = evaluation.measure(sim.model, of.config, weights, sim.tasks("a", 2), (0, 1), "matching")
        assert all((found[name] == expected[name]).all() for name in expected)
    assert of.measure(weights, "a", 2, "matching")["main"].shape == (len(evaluation.points_upto(20)), 2)


@pytest.mark.parametrize("field", ["split_seed", "seed", "filters", "eta", "lambda_", "rounds_after", "runtime"])
def test_a_field_that_decides_a_model_needs_a_new_laboratory(sim, field):
    with pytest.raises(ConfigError, match=f"^{field}: a variant changes fields of stage 'evaluation' only"):
        sim.variant(delta=0.5, **{field: getattr(sim.config, field)})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (dict(delt=0.5), "^delt: "),
        (dict(delta=math.nan), "^delta = nan"),
        (dict(delta=1.5), "^delta = 1.5"),
        (dict(mixed_layers="conv7"), "^mixed_layers: 'conv7'"),
        (dict(task_shots=40), "task_shots"),  # more than a user has
        (dict(defence_queries="split", split_queries=5), "^split_queries = 5"),
    ],
)
def test_bad_values_of_a_variant_are_refused_by_name(sim, fields, named):
    with pytest.raises(ConfigError, match=named):
        sim.variant(**fields)


@pytest.mark.parametrize("method", ["attention", "Matching"])
def test_an_unknown_method_is_refused_by_name(sim, method):
    weights = [np.zeros(shape, np.float32) for shape in sim.model.shapes]
    with pytest.raises(ConfigError, match=f"^unknown method '{method}'"):
        sim.measure(weights, "a", 2, method)
