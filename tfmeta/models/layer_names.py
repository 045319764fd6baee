"""The names of Conv4's weights, in order, and how `mixed_layers` selects some of a model's weights.

This module loads no TensorFlow, so that a pattern for Conv4 is checked before any data is read.
"""

import fnmatch
from collections.abc import Sequence

from tfmeta.errors import ConfigError

CONV4_MODULES = 4  # section 3
_PARTS = ("conv{}/kernel", "norm{}/gamma", "norm{}/beta")
CONV4_WEIGHTS = (
    *(part.format(module) for module in range(CONV4_MODULES) for part in _PARTS), "logits/kernel", "logits/bias",
)  # fmt: skip


def check_early(patterns: str, model: str) -> None:
    """Raise `ConfigError` for a pattern that selects nothing, if the weights of the model of that name are known."""
    if model == "conv4":
        chosen(patterns, CONV4_WEIGHTS)


def chosen(patterns: str, names: Sequence[str]) -> set[str]:
    """Return those of a model's weights that comma-separated patterns select.

    Args:
        patterns: A pattern is a layer's or a weight's name with shell wildcards: "*" selects all weights, "conv*" the
            kernels of all convolutions of Conv4, and "conv0,norm0" its first module.
        names: The model's `weight_names`.

    Raises:
        ConfigError: a pattern selects nothing.
    """
    found = set()
    for pattern in map(str.strip, patterns.split(",")):
        hit = {name for name in names if fnmatch.fnmatchcase(name, pattern) or name.rpartition("/")[0] == pattern}
        if not hit:
            raise ConfigError(f"mixed_layers: {pattern!r} names no layer; the weights are {', '.join(names)}")
        found |= hit
    return found
