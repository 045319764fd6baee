"""An aggregation's factory and its numpy rule are one rule, or the check says how far they are apart."""

import numpy as np
import pytest
import tensorflow_federated as tff
from core_fixtures import small_config

from tfmeta import registry
from tfmeta.aggregations.agreement import check_agreement
from tfmeta.aggregations.base import Aggregation, total
from tfmeta.errors import PluginError

pytestmark = pytest.mark.slow  # importing TFF alone takes 6 s


@pytest.mark.parametrize("name", registry.names("aggregations"))
def test_built_in_aggregations_are_the_same_through_tff_and_in_numpy(name):
    check_agreement(registry.build("aggregations", small_config(aggregation=name, aggregation_norm=3.0)))


class Mean(Aggregation):
    """The mean through TFF; subclasses have other numpy rules."""

    def tff_factory(self):
        return tff.aggregators.UnweightedMeanFactory()

    def numpy_rule(self, updates):
        return [part / np.float32(len(updates)) for part in total(updates)]


class Doubled(Mean):
    def numpy_rule(self, updates):
        return [np.float32(2) * part for part in super().numpy_rule(updates)]


class First(Mean):
    """Right for one client only."""

    def numpy_rule(self, updates):
        return updates[0]


class WithoutLast(Mean):
    def numpy_rule(self, updates):
        return super().numpy_rule(updates)[:-1]


class OfDoubles(Mean):
    def numpy_rule(self, updates):
        return [part.astype(float) for part in super().numpy_rule(updates)]


class OfNan(Mean):
    def numpy_rule(self, updates):
        return [part * np.float32(np.nan) for part in super().numpy_rule(updates)]


class Weighted(Mean):
    def tff_factory(self):
        return tff.aggregators.MeanFactory()


def test_a_rule_that_agrees_passes():
    check_agreement(Mean())


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        (Doubled, r"differ by up to 0\.\d+ in round 1 .*3 updates"),
        (First, "differ by up to"),
        (OfNan, "differ by up to nan"),
        (WithoutLast, r"numpy_rule must return float32 arrays.* not float32 \[3, 3, 1, 4\], .*float32 \[16, 5\]$"),
        (OfDoubles, "numpy_rule must return float32 arrays.* not float64"),
        (Weighted, "tff_factory must return an unweighted tff.aggregators factory, not MeanFactory"),
    ],
)
def test_a_rule_that_disagrees_is_refused_with_the_largest_difference(plugin, words):
    with pytest.raises(PluginError, match=f"the aggregation {plugin.NAME}: .*{words}"):
        check_agreement(plugin())
