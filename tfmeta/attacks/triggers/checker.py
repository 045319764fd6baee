"""A checkerboard."""

import numpy as np


def pattern(size: int) -> np.ndarray:
    """Return bool [size, size], one value per cell, True where the pattern has its first colour."""
    return np.indices([size, size]).sum(0) % 2 == 0
