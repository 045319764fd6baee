"""A checkerboard."""

import numpy as np

from tfmeta.attacks.triggers.base import PatternTrigger


class Checker(PatternTrigger):
    """A checkerboard."""

    def pattern(self, size):
        """Return bool [size, size]."""
        return np.indices([size, size]).sum(0) % 2 == 0
