"""What each aggregation makes of one client's update, in numpy."""

import numpy as np
import pytest
from core_fixtures import flat, small_config

from tfmeta import registry


def treated(aggregation, update, norm):
    """Return what one update adds to the sum under an aggregation with a norm bound."""
    config = small_config(aggregation=aggregation, aggregation_norm=norm)
    return registry.build("aggregations", config).numpy_rule([update])


@pytest.mark.parametrize("aggregation", ["clipping", "zeroing"])
def test_zero_updates_stay_zero_without_a_division_by_zero(aggregation):
    with np.errstate(all="raise"):
        assert not flat(treated(aggregation, [np.zeros(3, np.float32)], 1.0)).any()


@pytest.mark.parametrize("aggregation", ["sum", "clipping", "zeroing"])
def test_updates_below_the_norm_pass_unchanged(aggregation):
    small = [np.array([0.6, 0.8], np.float32), np.zeros(1, np.float32)]
    assert all((one == other).all() for one, other in zip(treated(aggregation, small, 2.0), small, strict=True))


def test_clipping_scales_a_large_update_down_to_the_norm_and_zeroing_drops_it():
    large = [np.array([1.2, 1.6], np.float32), np.zeros(1, np.float32)]
    np.testing.assert_allclose(flat(treated("clipping", large, 1.0)), [0.6, 0.8, 0.0], rtol=1e-6)
    assert not flat(treated("zeroing", large, 1.0)).any()
    assert (flat(treated("sum", large, 1.0)) == flat(large)).all()


def test_the_norm_is_that_of_the_whole_update():
    parts = [np.full(8, 0.5, np.float32), np.full(8, 0.5, np.float32)]  # each of norm 1.41, together 2
    np.testing.assert_allclose(np.linalg.norm(flat(treated("clipping", parts, 1.5))), 1.5, rtol=1e-6)
    assert flat(treated("zeroing", parts, 2.01)).any() and not flat(treated("zeroing", parts, 1.99)).any()
