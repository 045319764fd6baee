"""A stateless draw is what Keras draws with the same seed."""

import numpy as np
import pytest
import tensorflow as tf

from tfmeta.errors import ModelError
from tfmeta.models.initializers import drawing

own = tf.keras.initializers
RANDOM = [
    own.GlorotUniform, own.GlorotNormal, own.HeUniform, own.HeNormal, own.LecunUniform, own.LecunNormal,
    own.RandomUniform, own.RandomNormal, own.TruncatedNormal,
    lambda seed: own.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=seed),
    lambda seed: own.VarianceScaling(0.5, "fan_avg", "uniform", seed=seed),
]  # fmt: skip


@pytest.mark.parametrize("kind", RANDOM, ids=lambda kind: getattr(kind, "__name__", "kind"))
@pytest.mark.parametrize("shape", [(3, 3, 4, 6), (10, 5), (7,)])
def test_random_draws_are_bit_identical_to_keras(kind, shape):
    """A Keras initializer with seed s draws with the stateless seed [s, 0]."""
    found = drawing(kind(seed=1))(shape, tf.constant([7, 0]))
    np.testing.assert_array_equal(found, kind(seed=7)(shape))
    assert len(np.unique(found)) > 3 and found.dtype == tf.float32


@pytest.mark.parametrize("fixed", [own.Zeros(), own.Ones(), own.Constant(0.25)])
def test_constants_are_those_of_keras(fixed):
    np.testing.assert_array_equal(drawing(fixed)((2, 3), tf.constant([7, 0])), fixed((2, 3)))


class Twice(own.GlorotUniform):
    """An initializer of one's own that draws something else than its base."""

    def __call__(self, shape, dtype=None, **more):
        return 2 * super().__call__(shape, dtype, **more)


@pytest.mark.parametrize("other", [own.Orthogonal(), own.Identity(), Twice()])
def test_other_initializers_are_refused_by_name(other):
    with pytest.raises(ModelError, match=rf"^the initializer {type(other).__name__}: use .*VarianceScaling.*Constant"):
        drawing(other)
