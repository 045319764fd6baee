"""Both diagonals of a square."""

import numpy as np

from tfmeta.attacks.triggers.base import PatternTrigger


class Cross(PatternTrigger):
    """Both diagonals of a square."""

    def pattern(self, size):
        """Return bool [size, size]."""
        return np.eye(size, dtype=bool) | np.eye(size, dtype=bool)[::-1]
