"""A list of weights as one vector, and back.

Inside local training, weights and Adam's moments are one vector each: a dozen element-wise operations a step
instead of a dozen a weight, 1.1 (64 filters) to 1.5 times (32) the steps a second (``make bench``'s machine).
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Flat:
    """The layout of a vector that holds tensors of the given shapes, one behind the other."""

    shapes: tuple[tuple[int, ...], ...]

    @property
    def sizes(self):
        """Number of values of each tensor."""
        return [math.prod(shape) for shape in self.shapes]

    @property
    def size(self):
        """Length of the vector."""
        return sum(self.sizes)

    def pack(self, tensors):
        """Return float32 [size] from a list of tensors."""
        return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)

    def unpack(self, vector):
        """Return the list of tensors in a float32 [size]."""
        parts = tf.split(vector, self.sizes)
        return [tf.reshape(part, shape) for part, shape in zip(parts, self.shapes, strict=True)]


def layout_of(model):
    """Return the ``Flat`` layout of a model's weights."""
    return Flat(tuple(tuple(shape) for shape in model.shapes))


def l2_norm(parts):
    """Return the L2 norm of a list of arrays, as a float64 number."""
    return np.sqrt(sum(np.sum(np.square(part, dtype=np.float64)) for part in parts))
