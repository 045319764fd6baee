"""Which layers the names and wildcards of mixed_layers select."""

import pytest

from tfmeta.errors import ConfigError
from tfmeta.models.layer_names import CONV4_WEIGHTS, chosen
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
