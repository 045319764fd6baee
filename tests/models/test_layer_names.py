"""Which layers a word or wildcard of mixed_layers names."""

import pytest

from tfmeta.config import Config
from tfmeta.errors import ConfigError
from tfmeta.models.layer_names import WEIGHTS, chosen


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
