"""The boosted aggregation around each inner factory equals numpy."""

import collections

import numpy as np
import pytest
import tensorflow_federated as tff
from core_fixtures import small_config
from fixtures_secure import compile_with_test_secure_sums

from tfmeta import registry
from tfmeta.config.federation import LARGEST_NORM, LEAST_NORM
from tfmeta.federated.tff.boosted_aggregation import WEIGHT_TYPE, BoostedFactory
from tfmeta.federated.tff.runtime import TffRuntime

pytestmark = pytest.mark.slow  # importing TFF alone takes 6 s

SHAPES = [(3, 4), (5,)]
BOOSTS = (3.0, 1.0, 1.0)
NORM = 6.0  # between the norms of the updates: the boosted one is above, the others below
VALUE_TYPE = tff.to_type([tff.TensorType(np.float32, shape) for shape in SHAPES])


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    log = tmp_path_factory.mktemp("worker") / "worker.log"
    with TffRuntime(log, compiler=compile_with_test_secure_sums) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def deltas():
    random = np.random.default_rng(1)
    return [[random.normal(size=shape).astype(np.float32) for shape in SHAPES] for _ in BOOSTS]


def aggregate(runtime, factory, deltas, alphas=(1 / 3,) * 3, boosts=BOOSTS):
    process = factory.create(VALUE_TYPE, WEIGHT_TYPE)
    state = runtime.call(process.initialize)
    weights = [collections.OrderedDict(alpha=a, boost=b) for a, b in zip(alphas, boosts, strict=True)]
    return runtime.call(process.next, state, deltas, weights).result


def by_hand(deltas, treat=lambda delta: delta, alphas=(1 / 3,) * 3, before=False):
    """Return alpha * sum of treated(boost * delta); with `before` alpha is applied before the treatment."""
    total = [np.zeros(shape) for shape in SHAPES]
    for delta, alpha, boost in zip(deltas, alphas, BOOSTS, strict=True):
        treated = treat([np.float32(boost * (alpha if before else 1)) * part for part in delta])
        total = [done + (1 if before else alpha) * part for done, part in zip(total, treated, strict=True)]
    return total


def assert_same(result, expected):
    for got, wanted in zip(result, expected, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5, rtol=0)


def rule(name):
    """Return an aggregation's numpy rule under the norm NORM."""
    config = small_config(aggregation=name, aggregation_norm=NORM)
    return lambda delta: registry.build("aggregations", config).numpy_rule([delta])


SUM = tff.aggregators.SumFactory()
INNER = {
    "sum": (SUM, lambda delta: delta),
    "clipping": (tff.aggregators.clipping_factory(NORM, SUM), rule("clipping")),
    "zeroing": (tff.aggregators.zeroing_factory(NORM, SUM, norm_order=2.0), rule("zeroing")),
    "secure sum": (tff.aggregators.SecureSumFactory(20.0), lambda delta: delta),
}


@pytest.mark.parametrize("name", INNER)
def test_each_inner_aggregation_equals_numpy(runtime, deltas, name):
    inner, treat = INNER[name]
    assert_same(aggregate(runtime, BoostedFactory(inner, alpha=1 / 3), deltas), by_hand(deltas, treat))


@pytest.mark.parametrize("name", ["sum", "clipping", "zeroing"])
@pytest.mark.parametrize(("size", "norm"), [
    (1, 6), (1e9, 6), (1e9, 1e8), (LARGEST_NORM, 6), (LARGEST_NORM, LARGEST_NORM), (1, LEAST_NORM), (1e-25, LEAST_NORM),
    (1e-14, LEAST_NORM),
])  # fmt: skip
def test_tff_and_numpy_agree_on_every_update_that_a_round_takes(runtime, name, size, norm):
    random, rule = np.random.default_rng(2), registry.build("aggregations", small_config(
        aggregation=name, aggregation_norm=norm, max_update_norm=LARGEST_NORM))  # fmt: skip
    vectors = [random.normal(size=17) for _ in BOOSTS]
    norms = (0.99 * size, 0.4 * size, 0.01)  # boosts included
    scaled = [vector / np.linalg.norm(vector) * wanted for vector, wanted in zip(vectors, norms, strict=True)]
    updates = [[vector[:12].reshape(3, 4).astype(np.float32), vector[12:].astype(np.float32)] for vector in scaled]
    got = aggregate(runtime, BoostedFactory(rule.tff_factory(), alpha=1 / 3), updates, boosts=(1.0, 1.0, 1.0))
    for found, wanted in zip(got, rule.numpy_rule(updates), strict=True):
        np.testing.assert_allclose(found, wanted / 3, rtol=1e-4, atol=1e-6 * np.abs(wanted).max())


def test_the_norm_lies_between_the_boosted_update_and_the_others(deltas):
    # guards the other tests: with another norm they could not tell where the boost is applied
    boosted = [
        np.float32(boost) * np.concatenate([p.ravel() for p in d]) for boost, d in zip(BOOSTS, deltas, strict=True)
    ]
    assert [np.linalg.norm(vector) > NORM for vector in boosted] == [True, False, False]


def test_unequal_alphas_are_applied_before_the_inner_aggregation(runtime, deltas):
    alphas, (inner, treat) = (0.5, 0.3, 0.2), INNER["clipping"]
    assert_same(aggregate(runtime, BoostedFactory(inner), deltas, alphas), by_hand(deltas, treat, alphas, before=True))


def test_weights_of_another_type_are_refused():
    with pytest.raises(TypeError, match="alpha"):
        BoostedFactory().create(VALUE_TYPE, tff.to_type(np.float32))
