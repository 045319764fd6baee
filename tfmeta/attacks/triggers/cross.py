"""Both diagonals of a square."""

import numpy as np


def pattern(size: int) -> np.ndarray:
    """Return bool [size, size], one value per cell, True where the pattern has its first colour."""
    return np.eye(size, dtype=bool) | np.eye(size, dtype=bool)[::-1]
