"""What a client computes in a round (section 2), and what it refuses to send."""

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import Scene, attack_context, flat

from tfmeta import registry
from tfmeta.attacks.base import AttackerData
from tfmeta.datasets.shards import read_shards
from tfmeta.federated import clients
from tfmeta.federated.checks import REFUSED
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import AdamState, fresh_adam
from tfmeta.meta_learning.reptile import Reptile, local_training
from tfmeta.models.flat import layout_of


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("shards"))


def tensors(job):
    return clients.Job(*(tf.constant(value) for value in job))


@pytest.fixture(scope="module")
def update(scene):
    """`client_update` as one graph for all jobs."""
    theta = [tf.TensorSpec(shape) for shape in scene.setting.model.shapes]
    graph = tf.function(
        lambda weights, job: clients.client_update(scene.setting, weights, job),
        [theta, clients.JOB_SPEC],
        autograph=False,
    )
    return lambda job, weights=None: graph([tf.constant(part) for part in weights or scene.weights], tensors(job))


@pytest.fixture(scope="module")
def chunk(scene):
    """`attack_chunk` as one graph for all chunks."""
    theta = [tf.TensorSpec(shape) for shape in scene.setting.model.shapes]
    adam = (tf.TensorSpec([layout_of(scene.setting.model).size]), tf.TensorSpec([]))
    return tf.function(
        lambda weights, adam, job: clients.attack_chunk(scene.setting, weights, adam, weights, job),
        [theta, adam, clients.JOB_SPEC], autograph=False,
    )  # fmt: skip


def expected_training(scene, reptile, sampler, job):
    model, weights = scene.setting.model, [tf.constant(part) for part in scene.weights]
    adam, numbers = fresh_adam(layout_of(model).size), (int(job.first_episode), int(job.meta_batches))
    return tf.function(
        lambda: local_training(model, reptile, sampler, weights, adam, job.meta_step_size, job.seed, *numbers),
        autograph=False,
    )()


def test_shards_are_read_one_after_the_other(scene):
    read = read_shards(tf.constant(scene.paths), 6, (16, 16, 1))
    assert read.dtype == tf.uint8 and (read.numpy() == scene.images).all()


def test_a_benign_users_update_is_its_local_trainings_delta(scene, update):
    job = scene.job(first_episode=3, seed=[8, 9])
    config = scene.config

    def sampler(seed):
        return episodes.sample_episode(
            tf.constant(scene.images),
            tf.constant(scene.counts),
            seed,
            config.meta_learning.ways,
            config.meta_learning.shots,
        )

    trained = expected_training(scene, Reptile.of(config, 3), sampler, job)
    sent = update(job)
    np.testing.assert_allclose(flat(sent.delta), flat(trained.weights) - flat(scene.weights), atol=3e-6)
    assert [part.shape for part in sent.delta] == scene.setting.model.shapes
    assert float(sent.loss) == pytest.approx(float(trained.loss), rel=1e-3)
    assert np.abs(flat(sent.delta)).max() > 1e-3


def test_reptile_takes_its_numbers_from_the_configuration(tmp_path):
    config = Scene(tmp_path, adam_state="reset", inner_learning_rate=0.01).config
    assert Reptile.of(config, 3) == Reptile(
        meta_batch_size=2, inner_steps=3, inner_batch_size=5, inner_learning_rate=0.01, carry_adam=False
    )
    assert Reptile.of(Scene(tmp_path).config, 3).carry_adam is True


@pytest.mark.parametrize(
    "change",
    [
        dict(seed=[5, -5]),
        dict(first_episode=4),
        dict(meta_batches=1),
        dict(meta_step_size=0.4),
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_job_decides_the_update(scene, update, change):
    assert np.abs(flat(update(scene.job()).delta) - flat(update(scene.job(**change)).delta)).max() > 1e-5


def test_weight_and_boost_are_left_to_the_aggregation(scene, update):
    plain, other = update(scene.job()), update(scene.job(alpha=0.9, boost=7))
    assert (flat(plain.delta) == flat(other.delta)).all()


def test_places_without_an_image_are_never_read(scene, update):
    cleared = scene.images.copy()
    cleared[np.arange(6) >= scene.counts[:, None]] = 0
    assert (cleared != scene.images).any()
    shards = [scene.file(cleared[:5]), scene.file(cleared[5:])]
    assert (flat(update(scene.job()).delta) == flat(update(scene.job(shards=shards)).delta)).all()


def test_a_prepared_update_is_read_and_not_boosted(scene, update):
    weights = flat(scene.weights) + np.random.default_rng(0).normal(size=flat(scene.weights).size).astype(np.float32)
    sent = update(scene.prepared_job(weights, boost=3))
    np.testing.assert_array_equal(flat(sent.delta), weights - flat(scene.weights))
    assert float(sent.loss) == 0


def test_a_prepared_update_equal_to_theta_g_has_a_zero_delta(scene, update):
    unmoved = update(scene.prepared_job(flat(scene.weights)))
    assert not flat(unmoved.delta).any()


def spoiled(vector, how):
    if how in ("nan", "inf", "-inf"):
        vector = vector.copy()
        vector[len(vector) // 2] = float(how)
        return vector
    return {
        "short": vector[:-1],
        "long": np.append(vector, vector[:1]),
        "empty": b"",
        "torn": vector.tobytes()[:-1],
        "ragged": vector.tobytes() + b"x",
    }[how]


@pytest.mark.parametrize("how", ["nan", "inf", "-inf", "short", "long", "empty", "torn", "ragged"])
def test_a_spoiled_update_is_refused_with_the_users_name(scene, update, how):
    job = scene.prepared_job(spoiled(flat(scene.weights), how), user="user 1")
    with pytest.raises(tf.errors.InvalidArgumentError, match=refused(scene, how)):
        update(job)


def refused(scene, how):
    wanted = flat(scene.weights).nbytes
    message = "NaN or infinity" if how in ("nan", "inf", "-inf") else rf"\d+ bytes, not {wanted}"
    return f"{REFUSED}user 1 sent {message}"


@pytest.mark.slow
def test_a_spoiled_update_is_refused_where_unused_assertions_are_dropped(scene):
    """TFF's worker drops them, a `tf.function` does not."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        given = clients.Job(*(tf.compat.v1.placeholder(spec.dtype, spec.shape) for spec in clients.JOB_SPEC))
        update = clients.client_update(scene.setting, [tf.constant(part) for part in scene.weights], given)
        for how in ("nan", "short", "ragged"):
            job = scene.prepared_job(spoiled(flat(scene.weights), how))
            for fetched in (update.delta[0], update.delta[-1], update.loss):
                with pytest.raises(tf.errors.InvalidArgumentError, match=refused(scene, how)):
                    session.run(fetched, dict(zip(given, job, strict=True)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (dict(boost=np.nan), "has a job whose boost, alpha or meta step size is NaN or infinity"),
        (dict(alpha=np.inf), "has a job whose boost"),
        (dict(boost=1e38), "sent an update of norm"),
        (dict(alpha=1e38), "sent an update of norm"),  # where alpha goes before the aggregation, it counts too
        (dict(counts=[6, 6, 6, 0, 6, 4, 5]), "has a count of images outside 4 to 6"),
        (dict(counts=[6, 6, 6, 7, 6, 4, 5]), "has a count of images outside 4 to 6"),
        (dict(counts=[6] * 6), "has shards of 10752 bytes, but counts that ask for 9216"),
        (dict(counts=[6] * 2), "has images of too few classes: an episode needs 3"),
    ],
)
def test_a_job_that_was_not_checked_before_is_refused_in_the_graph(scene, update, given, words):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{REFUSED}user 2 {words}"):
        update(scene.job(**given))


def test_a_shard_of_another_size_is_refused_in_the_graph(scene, update):
    for shard in (scene.images.tobytes()[:-1], bytes(84 * 84 * 3)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"{REFUSED}user 2 has shards of {len(shard)} bytes"):
            update(scene.job(shards=[scene.file(shard)]))


def test_the_norm_of_the_largest_update_is_no_infinity(scene, update):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"user 1 sent an update of norm \d\.\d+e.39, above"):
        update(scene.prepared_job(np.full(flat(scene.weights).size, 3e38, np.float32), boost=1))


def test_training_that_gives_nan_is_refused(scene, update):
    weights = [part.copy() for part in scene.weights]
    weights[4][0] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"{REFUSED}user 2 sent NaN"):
        update(scene.job(), weights)


def test_the_attackers_chunk_is_reptile_on_poisoned_episodes(scene, chunk):
    job = scene.chunk_job(4, meta_batches=2)

    def sampler(seed):
        data = AttackerData(*map(tf.constant, (scene.images, scene.counts, scene.target, scene.triggered)))
        return registry.build("attacks", scene.config).sample_episode(data, attack_context(scene.config, seed))

    expected = expected_training(scene, Reptile.of(scene.config, 2), sampler, job)
    fresh = fresh_adam(layout_of(scene.setting.model).size)
    trained = chunk([tf.constant(part) for part in scene.weights], tuple(fresh), tensors(job))
    np.testing.assert_allclose(flat(trained.weights), flat(expected.weights), atol=3e-6)
    np.testing.assert_allclose(trained.adam.moments, expected.adam.moments, rtol=2e-3, atol=1e-9)
    assert float(trained.adam.steps) == 2 * scene.config.attack.inner_steps
    assert np.abs(flat(trained.weights) - flat(scene.weights)).max() > 5e-4


def test_the_attackers_chunks_and_one_long_training_are_bit_identical(scene, chunk):
    def run(chunks):
        weights, adam = [tf.constant(part) for part in scene.weights], fresh_adam(layout_of(scene.setting.model).size)
        first = 0
        for meta_batches in chunks:
            trained = chunk(weights, tuple(adam), tensors(scene.chunk_job(first, meta_batches)))
            weights, adam = trained.weights, AdamState(*trained.adam)
            first += meta_batches * scene.config.meta_learning.meta_batch_size
        return flat(weights).tobytes() + adam.moments.numpy().tobytes() + adam.steps.numpy().tobytes()

    assert run([4]) == run([1, 2, 1])
    assert run([4]) != run([3])
