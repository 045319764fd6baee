"""A round through TFF equals the pure core plus numpy (issue 2, part 6)."""

import numpy as np
import pytest
import tensorflow as tf
from fixtures_federation import Scene, prepared_file, scene  # noqa: F401 - scene is a fixture

from tfmeta.errors import ClientUpdateError
from tfmeta.federated import clients, jobs
from tfmeta.federated.in_process import InProcessFederation
from tfmeta.federated.tff.federation import TffFederation
from tfmeta.meta_learning.reptile import fresh_adam


@pytest.fixture(scope="module")
def federation(scene, tmp_path_factory):  # noqa: F811
    made = TffFederation(scene.setting, tmp_path_factory.mktemp("worker") / "worker.log")
    yield made
    made.close()


def benign_jobs(scene, chosen=(2, 3, 4)):  # noqa: F811
    return [jobs.benign_job(scene.banks, scene.config, user, True, "pretraining", 0, 4) for user in chosen]


def core_delta(scene, weights, job):  # noqa: F811
    """What the pure core says, eagerly, without either runtime."""
    tensors = clients.Job(*(tf.constant(value) for value in job))
    update = clients.benign_update(scene.setting, [tf.constant(weight) for weight in weights], tensors)
    return [part.numpy() for part in update.delta]


def assert_close(got, wanted, atol=1e-5):
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=0)


def test_a_benign_round_equals_the_core_plus_numpy(scene, federation):  # noqa: F811
    jobs = benign_jobs(scene)
    state, loss = federation.next(federation.start(scene.weights), jobs)
    deltas = [core_delta(scene, scene.weights, job) for job in jobs]
    assert max(np.abs(part).max() for part in deltas[0]) > 1e-3  # something was learned, so equality means something
    wanted = [w + sum(d[i] for d in deltas) / 3 for i, w in enumerate(scene.weights)]
    assert_close(federation.weights(state), wanted)
    assert np.isfinite(loss)


def test_the_attackers_round_equals_the_core_plus_numpy(scene, federation, tmp_path):  # noqa: F811
    theta_a = [weight + np.float32(0.05) * (i + 1) for i, weight in enumerate(scene.weights)]
    attacker = jobs.attacker_job(scene.config, prepared_file(tmp_path / "theta_a.f32", theta_a))
    jobs = [attacker, *benign_jobs(scene, (2, 4))]
    state, _ = federation.next(federation.start(scene.weights), jobs)
    deltas = [core_delta(scene, scene.weights, job) for job in jobs[1:]]
    alpha, boost = 1 / 3, 3
    wanted = [
        w + alpha * (boost * (a - w) + sum(d[i] for d in deltas))
        for i, (w, a) in enumerate(zip(scene.weights, theta_a, strict=True))
    ]
    assert_close(federation.weights(state), wanted)
    # lambda * alpha = 1: theta_a survives whole (ledger 16)
    assert_close(federation.weights(state), [a + sum(d[i] for d in deltas) / 3 for i, a in enumerate(theta_a)])


def test_the_attackers_chunk_equals_the_core(scene, federation):  # noqa: F811
    job = jobs.attacker_chunk_job(scene.banks, scene.config, 0)
    moments = fresh_adam(sum(weight.size for weight in scene.weights)).moments.numpy()
    theta, got_moments, steps, _ = federation.train_chunk(scene.weights, moments, 0.0, job)
    wanted, wanted_moments, wanted_steps, _ = InProcessFederation(scene.setting).train_chunk(
        scene.weights, moments, 0.0, job
    )
    assert_close(theta, wanted)
    assert_close([got_moments], [wanted_moments])
    assert steps == wanted_steps == 4


@pytest.mark.parametrize("aggregation", ["clipping", "zeroing"])
def test_in_process_rounds_equal_tffs_under_other_aggregations(tmp_path, aggregation):
    scene = Scene(tmp_path, aggregation=aggregation, aggregation_norm=0.4)  # noqa: F811
    theta_a = [weight + np.float32(0.05) for weight in scene.weights]
    jobs = [jobs.attacker_job(scene.config, prepared_file(tmp_path / "a.f32", theta_a)), *benign_jobs(scene, (2, 3))]
    federation = TffFederation(scene.setting, tmp_path / "worker.log")
    try:
        through_tff = federation.weights(federation.next(federation.start(scene.weights), jobs)[0])
    finally:
        federation.close()
    in_process = InProcessFederation(scene.setting)
    assert_close(through_tff, in_process.next(in_process.start(scene.weights), jobs)[0])


@pytest.mark.parametrize("content", ["nan", "infinity", "short"])
def test_a_bad_update_fails_the_round_with_the_users_name_and_spares_the_state(scene, federation, tmp_path, content):  # noqa: F811
    theta_a = [weight.copy() for weight in scene.weights]
    if content == "short":
        theta_a = theta_a[:-1]
    else:
        theta_a[0][0, 0, 0, 0] = {"nan": np.nan, "infinity": np.inf}[content]
    attacker = jobs.attacker_job(scene.config, prepared_file(tmp_path / "bad.f32", theta_a))
    state = federation.start(scene.weights)
    before = federation.to_arrays(state)
    with pytest.raises(ClientUpdateError, match="user 1"):
        federation.next(state, [attacker, *benign_jobs(scene, (2, 3))])
    after = federation.to_arrays(state)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    federation.next(state, benign_jobs(scene))  # and the federation goes on


def test_a_state_survives_its_checkpoint(scene, federation):  # noqa: F811
    state, _ = federation.next(federation.start(scene.weights), benign_jobs(scene))
    again = federation.from_arrays(federation.to_arrays(state))
    jobs = benign_jobs(scene, (3,))
    one, other = (federation.weights(federation.next(s, jobs)[0]) for s in (state, again))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
