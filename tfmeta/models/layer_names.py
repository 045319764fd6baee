"""The names of Conv4's weights, in their order, and how a setting chooses some of them."""

import fnmatch

from tfmeta.errors import ConfigError

MODULES = 4  # of Conv4 (section 3)
WEIGHTS = (
    *(f"{layer}{module}/{part}" for module in range(MODULES) for layer, part in
      (("conv", "kernel"), ("norm", "gamma"), ("norm", "beta"))),
    "logits/kernel", "logits/bias",
)  # fmt: skip


def chosen(patterns):
    """Return the names of the weights that comma-separated ``patterns`` choose, a set.

    "*" is all of them, "conv*" all kernels of convolutions, "conv0,norm0" the first module: a pattern is a
    layer's or a weight's name with shell wildcards. Raises ``ConfigError`` for a pattern that chooses nothing.
    """
    found = set()
    for pattern in patterns.split(","):
        pattern = pattern.strip()
        hit = {name for name in WEIGHTS if fnmatch.fnmatchcase(name, pattern) or name.split("/")[0] == pattern}
        if not hit:
            raise ConfigError(f"mixed_layers: {pattern!r} names no layer; the weights are {', '.join(WEIGHTS)}")
        found |= hit
    return found
