"""Which layers the names and wildcards of mixed_layers select."""

import pytest
from architectures import small

from tfmeta.errors import ConfigError
from tfmeta.models.layer_names import CONV4_WEIGHTS, check_early, chosen
from tfmeta.simulation import Simulation


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ("*", CONV4_WEIGHTS),
        ("logits", ("logits/kernel", "logits/bias")),
        ("conv2", ("conv2/kernel",)),
        ("norm?/beta", tuple(f"norm{module}/beta" for module in range(4))),
        ("*/kernel", ("conv0/kernel", "conv1/kernel", "conv2/kernel", "conv3/kernel", "logits/kernel")),
        (" conv0 , norm0/gamma,conv0", ("conv0/kernel", "norm0/gamma")),
    ],
)
def test_layers_are_chosen_by_name_or_wildcard(patterns, names):
    assert chosen(patterns, CONV4_WEIGHTS) == set(names)


@pytest.mark.parametrize(
    ("patterns", "named"),
    [("conv4", "conv4"), ("conv0,dense", "dense"), ("", ""), ("conv0,", ""), ("conv", "conv"), ("CONV0", "CONV0")],
)
def test_a_pattern_that_selects_nothing_is_refused_by_name(patterns, named):
    with pytest.raises(ConfigError, match=f"^mixed_layers: {named!r} names no layer; .*conv0/kernel.*logits/bias"):
        chosen(patterns, CONV4_WEIGHTS)


def test_a_simulation_refuses_a_pattern_that_selects_nothing():
    with pytest.raises(ConfigError, match=r"^mixed_layers: 'conv4' names no layer"):
        Simulation("glyphs", "smoke", mixed_layers="conv4")


def test_patterns_for_other_models_are_checked_when_the_model_is_known(cache_dir, tmp_path):
    check_early("conv2d", "resnet12")
    folders = dict(results=tmp_path, cache_dir=cache_dir)
    with Simulation("glyphs", "smoke", model=small(), mixed_layers="conv4", **folders) as sim:
        with pytest.raises(ConfigError, match=r"^mixed_layers: 'conv4' names no layer; .*conv2d/kernel.*logits/bias"):
            _ = sim.model
        assert sim.variant(mixed_layers="conv2d").model.weight_names[0] == "conv2d/kernel"


def test_layers_with_a_slash_in_their_name_are_chosen_as_a_whole():
    names = ("block/conv/kernel", "block/conv/bias", "logits/kernel")
    assert chosen("block/conv", names) == set(names[:2]) and chosen("block/*", names) == set(names[:2])
