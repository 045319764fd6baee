"""A filled square."""

import numpy as np

from tfmeta.attacks.triggers.base import PatternTrigger


class Square(PatternTrigger):
    """A filled square."""

    def pattern(self, size):
        """Return bool [size, size]."""
        return np.ones([size, size], bool)
