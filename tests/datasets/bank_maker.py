"""A small bank for the tests of the cache, and what makes it."""

import numpy as np

from tfmeta.datasets import cache

SHAPE = (3, 4, 5, 5, 1)
IMAGES = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
IDENTITY = {"files": [["a.zip", 10, 20]]}
DESCRIPTION = cache.Description(("a", "b", "c"), ("background",) * 3, "made here", ("take care",))


class Maker:
    """Fills in the images and counts its calls."""

    def __init__(self):
        self.times = 0

    def __call__(self, images):
        self.times += 1
        images[:] = IMAGES
        return DESCRIPTION


def fetch(folder, maker, identity=IDENTITY):
    return cache.fetch(folder, "test", identity, SHAPE, maker)


def only(folder, pattern):
    (path,) = (folder / "banks").glob(pattern)
    return path
