"""Extra local meta-training before fine-tuning (appendix A.3, ledger 29)."""

import core_fixtures
import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import Scene, flat

from tfmeta import registry
from tfmeta.datasets.shards import read_shards
from tfmeta.defences.base import OwnImages
from tfmeta.errors import ModelError
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import fresh_adam
from tfmeta.meta_learning.reptile import Reptile, local_training
from tfmeta.models.flat import layout_of
from tfmeta.utils import seeds

SEEDS = np.array([[3, -4], [5, 6]], np.int32)


def trained(scene, weights=None, seeds=SEEDS, report=lambda done: None):
    weights = scene.weights if weights is None else weights
    defence = registry.build("defences", scene.config, "extra_meta_training")
    own = OwnImages(scene.paths, scene.counts, scene.setting.capacity)
    return defence.prepare(scene.setting.model, scene.config.meta_learning, weights, own, seeds, report)


def by_hand(scene, seed, weights, config):
    """The same training from its parts, eagerly."""
    model = scene.setting.model
    images = read_shards(tf.constant(scene.paths), scene.setting.capacity, model.image_shape)

    def sampler(drawn):
        learning = config.meta_learning
        return episodes.sample_episode(images, tf.constant(scene.counts), drawn, learning.ways, learning.shots)

    reptile = Reptile.of(scene.config, scene.config.meta_learning.inner_steps)
    result = local_training(
        model, reptile, sampler, weights, fresh_adam(layout_of(model).size),
        config.defence.extra_meta_step_size, seeds.fold(seed, 9), 0,
        config.defence.extra_episodes // config.meta_learning.meta_batch_size,
    )  # fmt: skip
    return flat(result.weights)


def assert_alike(vector, wanted, start):
    """Allow for rounding, which Adam with beta1 = 0 amplifies: measured at most 0.04 of the distance, mostly 1e-5."""
    assert np.linalg.norm(vector - wanted) < 0.1 * np.linalg.norm(vector - start)


@pytest.fixture(scope="module")
def after(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("after"), extra_episodes=4, delta=0.4)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("before"), extra_episodes=4, delta=0.4, extra_order="before-mix")


@pytest.mark.slow
def test_each_task_trains_from_its_own_mixed_weights(after):
    found = trained(after)
    assert found.shape == (2, sum(part.size for part in after.weights)) and found.dtype == np.float32
    for seed, vector in zip(SEEDS, found, strict=True):
        mixed = core_fixtures.mixed(after.setting.model, after.config, after.weights, seed)
        assert_alike(vector, by_hand(after, seed, mixed, after.config), flat(mixed))
        moved = np.abs(vector - flat(mixed)).max()
        assert moved > 1e-4
    assert np.abs(found[0] - found[1]).max() > 0.1


@pytest.mark.slow
def test_before_the_mix_each_task_trains_from_the_received_weights(before):
    found = trained(before)
    for seed, vector in zip(SEEDS, found, strict=True):
        assert_alike(vector, by_hand(before, seed, before.weights, before.config), flat(before.weights))
    with pytest.raises(AssertionError):
        assert_alike(*found, flat(before.weights))  # other episodes lead elsewhere
    assert 0 < np.abs(found[0] - found[1]).max() < 0.1  # other episodes, the same start


def test_a_tasks_training_does_not_depend_on_the_other_tasks(after):
    np.testing.assert_array_equal(trained(after, seeds=SEEDS[1:])[0], trained(after)[1])


def test_progress_is_reported_after_each_task(after):
    done = []
    trained(after, report=done.append)
    assert done == [1, 1]


def test_weights_with_nan_are_refused(after):
    weights = [np.array(part) for part in after.weights]
    weights[1][0] = np.nan
    with pytest.raises(ModelError, match=r"the model to train on.*NaN"):
        trained(after, weights)
