"""The names of Conv4's weights, in order, and how `mixed_layers` selects some of them."""

import fnmatch

from tfmeta.errors import ConfigError

MODULES = 4  # of Conv4 (section 3)
_PARTS = ("conv{}/kernel", "norm{}/gamma", "norm{}/beta")
WEIGHTS = (*(part.format(module) for module in range(MODULES) for part in _PARTS), "logits/kernel", "logits/bias")


def chosen(patterns: str) -> set[str]:
    """Return the names of the weights that comma-separated patterns select.

    A pattern is a layer's or a weight's name with shell wildcards: "*" selects all weights, "conv*" the kernels of all
    convolutions, and "conv0,norm0" the first module.

    Raises:
        ConfigError: a pattern selects nothing.
    """
    found = set()
    for pattern in map(str.strip, patterns.split(",")):
        hit = {name for name in WEIGHTS if fnmatch.fnmatchcase(name, pattern) or name.split("/")[0] == pattern}
        if not hit:
            raise ConfigError(f"mixed_layers: {pattern!r} names no layer; the weights are {', '.join(WEIGHTS)}")
        found |= hit
    return found
