"""Variants of a laboratory: other evaluations of the same models."""

import dataclasses
import math

import numpy as np
import pytest

from tfmeta import evaluation
from tfmeta.errors import ConfigError
from tfmeta.laboratory import Laboratory


@pytest.fixture(scope="module")
def lab(glyphs_bank, cache_dir, tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    with Laboratory("glyphs", "smoke", results=results, cache_dir=cache_dir, runtime="inprocess", seed=5) as lab:
        yield lab


def test_a_variant_changes_its_own_fields_only(lab):
    before = lab.config
    variant = lab.variant(delta=0.5, gates="fixed")
    assert variant.config == dataclasses.replace(before, delta=0.5, gates="fixed")
    assert lab.config is before and lab.variation is None
    assert (lab.variant().config, lab.variant().variation) == (before, None)
    assert variant.variant(delta=before.delta).config == dataclasses.replace(before, gates="fixed")


def test_a_variant_is_part_of_its_run(lab):
    """Its results go to the run's folder, under names of their own."""
    variant = lab.variant(delta=0.5)
    assert lab.tag == variant.tag == "runtime_inprocess-seed5"
    assert variant.variation == "delta_0.5" and lab.variant(task_seed=1).variation == "task_seed1"
    assert variant.variant(gates="fixed").variation == "delta_0.5-gates_fixed"  # still of the run
    assert variant.variant(delta=lab.config.delta).variation is None
    assert variant.results == lab.results


def test_a_variant_shares_data_models_and_worker(lab):
    variant = lab.variant(delta=0.5)
    assert variant.bank is lab.bank and variant.partition is lab.partition
    for case in ("a", "b"):
        folders = [each.timeline_of(case).folder("rounds") for each in (variant, lab)]
        assert folders[0] == folders[1] and lab.results in folders[0].parents
    federation = variant.federation()
    assert lab.federation() is federation and lab.variant(tasks=3).federation() is federation
    variant.close()
    assert lab.federation() is not federation


def test_a_variant_has_tasks_of_its_own(lab):
    plain, same = lab.tasks("a", 2), lab.variant(delta=0.5).tasks("a", 2)
    other, more = lab.variant(task_seed=1).tasks("a", 2), lab.variant(tasks=3).tasks("a", 2)
    assert (plain.seeds == same.seeds).all() and (plain.support == same.support).all()
    assert (plain.seeds != other.seeds).any() and (plain.support != other.support).any()
    assert (len(plain), len(more)) == (2, 3)


def test_a_variant_measures_with_its_fields(lab):
    weights = lab.model_shape.initial_weights(1)
    for of in (lab, lab.variant(delta=0.0)):
        found = of.measure(weights, "a", 2, "matching", (0, 1))
        expected = evaluation.measure(lab.model_shape, of.config, weights, lab.tasks("a", 2), (0, 1), "matching")
        assert all((found[name] == expected[name]).all() for name in expected)
    assert of.measure(weights, "a", 2, "matching")["main"].shape == (len(evaluation.points_upto(20)), 2)


@pytest.mark.parametrize("field", ["split_seed", "seed", "filters", "eta", "lambda_", "rounds_after", "runtime"])
def test_a_field_that_decides_a_model_needs_a_new_laboratory(lab, field):
    with pytest.raises(ConfigError, match=f"^{field}: a variant changes fields of stage 'evaluation' only"):
        lab.variant(delta=0.5, **{field: getattr(lab.config, field)})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (dict(delt=0.5), "^delt: "),
        (dict(delta=math.nan), "^delta = nan"),
        (dict(delta=1.5), "^delta = 1.5"),
        (dict(mixed_layers="conv7"), "^mixed_layers: 'conv7'"),
        (dict(task_shots=40), "task_shots"),  # more than a user has
        (dict(matching_queries="split", split_queries=5), "^split_queries = 5"),
    ],
)
def test_bad_values_of_a_variant_are_refused_by_name(lab, fields, named):
    with pytest.raises(ConfigError, match=named):
        lab.variant(**fields)


@pytest.mark.parametrize("method", ["attention", "Matching"])
def test_an_unknown_method_is_refused_by_name(lab, method):
    weights = [np.zeros(shape, np.float32) for shape in lab.model_shape.shapes]
    with pytest.raises(ConfigError, match=f"^unknown method '{method}'"):
        lab.measure(weights, "a", 2, method)
