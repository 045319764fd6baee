"""The noise mix: theta' = delta theta + (1 - delta) theta_g (section 4, ledger 28)."""

import logging

import core_fixtures
import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import small_config

from tfmeta.defences import noise_mix
from tfmeta.models.conv4 import Conv4
from tfmeta.utils import seeds

MODEL = Conv4((16, 16, 1), 3, 4)
SEED, OTHER = tf.constant([4, -9]), tf.constant([4, -8])
MODULES = [["conv0/kernel", "norm0/gamma", "norm0/beta"], ["conv1/kernel", "norm1/gamma", "norm1/beta"]]


def config(**overrides):
    return small_config(ways=3, **overrides)


def trained():
    """Return weights like trained ones: no gamma is 1, and no beta 0."""
    random = np.random.default_rng(1)
    return [random.normal(1, 1, shape).astype(np.float32) for shape in MODEL.shapes]


def arrays(parts):
    return [np.asarray(part) for part in parts]


def mixed(seed=SEED, weights=None, **overrides):
    weights = [tf.constant(part) for part in weights or trained()]
    return arrays(core_fixtures.mixed(MODEL, config(**overrides), weights, seed))


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("delta", [0.3, 0.6])
def test_every_weight_is_mixed_with_the_tasks_fresh_one(delta):
    fresh = arrays(noise_mix.fresh(MODEL, SEED))
    found = mixed(delta=delta)
    for part, own, drawn in zip(found, trained(), fresh, strict=True):
        assert part.dtype == np.float32 and part.shape == own.shape
        np.testing.assert_allclose(part, delta * own + (1 - delta) * drawn, rtol=1e-5, atol=1e-6)
    assert same(found, mixed(delta=delta))
    assert same(mixed(), mixed(delta=0.3))  # the paper's


def test_delta_1_keeps_the_trained_weights_and_delta_0_the_fresh_ones():
    assert same(mixed(delta=1.0), trained())
    assert same(mixed(delta=0.0), noise_mix.fresh(MODEL, SEED))
    assert same(mixed(delta=0.0), mixed(delta=0.0, weights=[5 * part for part in trained()]))


def test_each_task_has_its_own_fresh_initialisation():
    one, again, other = (arrays(noise_mix.fresh(MODEL, seed)) for seed in (SEED, SEED, OTHER))
    assert same(one, again)
    for part, others, name in zip(one, other, MODEL.weight_names, strict=True):
        assert (part != others).any() == name.endswith("kernel"), name
    assert same(one, MODEL.fresh_weights(seeds.fold(SEED, 7)))  # stored results were drawn with 7
    assert not same(one, MODEL.fresh_weights(SEED))


def test_theta_g_is_the_same_for_a_task_alone_and_among_others():
    run = tf.function(lambda seeds: tf.map_fn(
        lambda seed: noise_mix.fresh(MODEL, seed), seeds, fn_output_signature=[tf.float32] * 14
    ), autograph=False)  # fmt: skip
    together = run(tf.stack([SEED, OTHER]))
    for number, seed in enumerate((SEED, OTHER)):
        assert same([part[number].numpy() for part in together], noise_mix.fresh(MODEL, seed))


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ("*", MODEL.weight_names),
        ("conv*", [f"conv{module}/kernel" for module in range(4)]),
        ("conv0, norm0,conv1,norm1", MODULES[0] + MODULES[1]),
        ("norm2/gamma,logits", ["norm2/gamma", "logits/kernel", "logits/bias"]),
    ],
)
def test_only_the_chosen_layers_are_mixed(patterns, names):
    weights, everything, found = trained(), mixed(), mixed(mixed_layers=patterns)
    for part, own, all_mixed, name in zip(found, weights, everything, MODEL.weight_names, strict=True):
        assert (own != all_mixed).any()
        np.testing.assert_array_equal(part, all_mixed if name in names else own, err_msg=name)


def test_norms_by_hand():
    weights, seeds = trained(), tf.stack([SEED, OTHER])
    found = noise_mix.norms(MODEL, weights, seeds.numpy())
    drawn = [arrays(noise_mix.fresh(MODEL, seed)) for seed in (SEED, OTHER)]
    assert list(found) == [*MODEL.weight_names, "embedding"]
    for number, name in enumerate(MODEL.weight_names):
        own = np.sqrt((np.float64(weights[number]) ** 2).sum())
        fresh = np.mean([np.sqrt((np.float64(one[number]) ** 2).sum()) for one in drawn])
        np.testing.assert_allclose([found[name]["theta"], found[name]["theta_g"]], [own, fresh], rtol=1e-5)
        if name.endswith(("beta", "bias")):
            assert found[name]["theta_g"] == 0 and found[name]["ratio"] is None
        else:
            np.testing.assert_allclose(found[name]["ratio"], own / fresh, rtol=1e-5)
    embedding = [np.concatenate([np.ravel(part) for part in one[:-2]]) for one in (weights, *drawn)]
    lengths = [np.sqrt((np.float64(one) ** 2).sum()) for one in embedding]
    pair = found["embedding"]
    np.testing.assert_allclose(pair["theta"], lengths[0], rtol=1e-5)
    np.testing.assert_allclose(pair["theta_g"], np.mean(lengths[1:]), rtol=1e-3)  # the mean is taken by weight
    np.testing.assert_allclose(pair["ratio"], pair["theta"] / pair["theta_g"], rtol=1e-6)
    assert all(isinstance(value, float) for value in pair.values())  # so that JSON can hold them


def test_norms_are_logged_by_weight(caplog):
    with caplog.at_level(logging.INFO, "tfmeta.defences.noise_mix"):
        noise_mix.log_norms({"conv0/kernel": {"theta": 4.0, "theta_g": 1.25, "ratio": 3.2}}, 0.3, "case a")
    assert caplog.messages == ["|theta| / |theta_g| (case a, delta 0.3): conv0 4 / 1.25"]
