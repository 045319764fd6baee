"""Rounds through TFF equal the clients' functions plus numpy."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from fixtures_federation import Scene, prepared_file

from tfmeta.errors import ClientUpdateError, ModelError
from tfmeta.federated import clients, jobs
from tfmeta.federated.checks import REFUSED
from tfmeta.federated.in_process import InProcessFederation
from tfmeta.federated.tff.federation import TffFederation
from tfmeta.federated.tff.process import build_process
from tfmeta.meta_learning.adam import fresh_adam

pytestmark = pytest.mark.slow  # importing TFF alone takes 6 s


@pytest.fixture(scope="module")
def federation(scene, tmp_path_factory):
    with TffFederation(scene.setting, tmp_path_factory.mktemp("worker") / "worker.log") as federation:
        yield federation


def benign_jobs(scene, chosen=(2, 3, 4)):
    return [jobs.benign_job(scene.data, scene.config, user, True, "pretraining", 0, 4) for user in chosen]


def core_delta(scene, weights, job):
    """Return a client's update, computed eagerly and without a federation."""
    tensors = clients.Job(*(tf.constant(value) for value in job))
    update = clients.client_update(scene.setting, [tf.constant(weight) for weight in weights], tensors)
    return [part.numpy() for part in update.delta]


def assert_close(got, wanted, atol=1e-5):
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=atol, rtol=0)


def test_a_benign_round_equals_the_clients_plus_numpy(scene, federation):
    given = benign_jobs(scene)
    state, loss = federation.next(federation.start(scene.weights), given)
    deltas = [core_delta(scene, scene.weights, job) for job in given]
    assert max(np.abs(part).max() for part in deltas[0]) > 1e-3  # something was learned, so equality means something
    wanted = [w + sum(d[i] for d in deltas) / 3 for i, w in enumerate(scene.weights)]
    assert_close(federation.weights(state), wanted)
    assert np.isfinite(loss)


def test_the_attackers_round_equals_the_clients_plus_numpy(scene, federation, tmp_path):
    theta_a = [weight + np.float32(0.05) * (i + 1) for i, weight in enumerate(scene.weights)]
    attacker = jobs.attacker_job(scene.data, scene.config, 1, 2, prepared_file(tmp_path / "theta_a.f32", theta_a))
    given = [attacker, *benign_jobs(scene, (2, 4))]
    state, _ = federation.next(federation.start(scene.weights), given)
    deltas = [core_delta(scene, scene.weights, job) for job in given[1:]]
    alpha, boost = 1 / 3, 3
    wanted = [
        w + alpha * (boost * (a - w) + sum(d[i] for d in deltas))
        for i, (w, a) in enumerate(zip(scene.weights, theta_a, strict=True))
    ]
    assert_close(federation.weights(state), wanted)
    # lambda * alpha = 1: theta_a survives unchanged (ledger 16)
    assert_close(federation.weights(state), [a + sum(d[i] for d in deltas) / 3 for i, a in enumerate(theta_a)])


def test_the_attackers_chunk_equals_the_one_in_this_process(scene, federation):
    job = jobs.attacker_chunk_job(scene.data, scene.config, 1, 2, 0)
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
    scene = Scene(tmp_path, aggregation=aggregation, aggregation_norm=0.4)
    theta_a = [weight + np.float32(0.05) for weight in scene.weights]
    attacker = jobs.attacker_job(scene.data, scene.config, 1, 2, prepared_file(tmp_path / "a.f32", theta_a))
    given = [attacker, *benign_jobs(scene, (2, 3))]
    with TffFederation(scene.setting, tmp_path / "worker.log") as federation:
        through_tff = federation.weights(federation.next(federation.start(scene.weights), given)[0])
    with InProcessFederation(scene.setting) as in_process:
        assert_close(through_tff, in_process.next(in_process.start(scene.weights), given)[0])


def test_an_aggregation_given_as_an_object_takes_the_place_of_the_configurations(scene, tmp_path):
    given = benign_jobs(scene)
    average = tff.aggregators.UnweightedMeanFactory()
    with TffFederation(scene.setting, tmp_path / "worker.log", aggregation=average) as federation:
        state, _ = federation.next(federation.start(scene.weights), given)
    deltas = [core_delta(scene, scene.weights, job) for job in given]
    wanted = [w + sum(d[i] for d in deltas) / 3 / 3 for i, w in enumerate(scene.weights)]  # mean, then alpha = 1/3
    assert_close(federation.weights(state), wanted)


@pytest.mark.parametrize("content", ["nan", "infinity", "short"])
def test_a_bad_update_fails_the_round_with_the_users_name_and_leaves_the_state(scene, federation, tmp_path, content):
    theta_a = [weight.copy() for weight in scene.weights]
    if content == "short":
        theta_a = theta_a[:-1]
    else:
        theta_a[0][0, 0, 0, 0] = {"nan": np.nan, "infinity": np.inf}[content]
    attacker = jobs.attacker_job(scene.data, scene.config, 1, 2, prepared_file(tmp_path / "bad.f32", theta_a))
    state = federation.start(scene.weights)
    before = federation.to_arrays(state)
    with pytest.raises(ClientUpdateError, match="user 1"):
        federation.next(state, [attacker, *benign_jobs(scene, (2, 3))])
    after = federation.to_arrays(state)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    federation.next(state, benign_jobs(scene))  # the federation still works


def assert_refused(federation, scene, given, words, error=ClientUpdateError):
    """Assert that a round is refused, and that the state stays as it was."""
    state = federation.start(scene.weights)
    before = federation.to_arrays(state)
    with pytest.raises(error, match=words) as refused:
        federation.next(state, given)
    after = federation.to_arrays(state)
    assert before.keys() == after.keys() and all(np.array_equal(before[name], after[name]) for name in before)
    return str(refused.value)


def large_update(scene, folder, boost):
    theta_a = [weight.copy() for weight in scene.weights]
    theta_a[0][0, 0, 0, 0] = 3e38
    attacker = jobs.attacker_job(scene.data, scene.config, 1, 2, prepared_file(folder / "large.f32", theta_a))
    return attacker._replace(boost=np.float32(boost))


@pytest.mark.parametrize("boost", [3, 1])
def test_a_finite_update_above_the_bound_is_refused_with_the_users_name(scene, federation, tmp_path, boost):
    given = [large_update(scene, tmp_path, boost), *benign_jobs(scene, (2, 3))]
    assert_refused(federation, scene, given, rf"user 1 sent an update of norm {3 * boost}\.000e.38, above ")


def test_a_process_that_is_called_directly_refuses_too(scene, federation, tmp_path):
    state, counts = federation.start(scene.weights), benign_jobs(scene)[0].counts
    for job, words in [
        (large_update(scene, tmp_path, 3), "user 1 sent an update of norm 9.000e"),
        (large_update(scene, tmp_path, np.nan), "user 1 has a job whose boost"),
        (benign_jobs(scene)[0]._replace(counts=np.zeros_like(counts)), "user 2 has a count of images outside 10 to"),
        (benign_jobs(scene)[0]._replace(counts=counts[1:]), "user 2 has shards of"),
    ]:
        with pytest.raises(grpc.RpcError, match=REFUSED + words):
            federation._process.next(state, [[job._asdict()], [benign_jobs(scene)[1]._asdict()]])


@pytest.mark.parametrize("change", [dict(boost=np.float32(np.inf)), dict(shards=np.array(["/nowhere"])),
                                    dict(counts=np.array([3, 0], np.int32))])  # fmt: skip
def test_a_job_that_no_client_could_run_is_refused_without_a_word_of_grpc(scene, federation, change):
    first, second, _ = benign_jobs(scene)
    message = assert_refused(federation, scene, [first, second._replace(**change)], "^user 3: .*he state is unchanged$")
    assert "\n" not in message and "RPC" not in message


def test_a_file_that_vanishes_before_the_worker_reads_it_is_named(scene, federation, tmp_path, monkeypatch):
    job, call = benign_jobs(scene)[0], federation._runtime.call
    (path := tmp_path / "shard.u8").write_bytes(Path(job.shards[0]).read_bytes())
    job = job._replace(shards=np.array([str(path), *job.shards[1:]]))

    def late(*arguments):
        path.unlink()
        return call(*arguments)

    monkeypatch.setattr(federation._runtime, "call", late)
    assert_refused(federation, scene, [job], rf"^user 2: {path} is missing")


def test_a_state_that_is_not_finite_is_refused_as_given_and_as_made(scene, federation, tmp_path):
    spoiled = [weight.copy() for weight in scene.weights]
    spoiled[0][0, 0, 0, 0] = np.nan
    with pytest.raises(ModelError, match=r"theta_G before the round: .*NaN"):
        federation.next(federation.start(spoiled), benign_jobs(scene))
    with TffFederation(scene.setting, tmp_path / "worker.log", aggregation=Broken()) as breaking:
        words = "round of user 2, user 3, user 4, aggregated by Broken: .*NaN"
        assert_refused(breaking, scene, benign_jobs(scene), words, ModelError)


class Broken(tff.aggregators.UnweightedAggregationFactory):
    """The sum of updates, divided by zero."""

    def create(self, value_type):
        inner = tff.aggregators.SumFactory().create(value_type)
        member = inner.next.type_signature.result.result.member
        divide = tff.tensorflow.computation(lambda parts: tf.nest.map_structure(lambda part: part / 0.0, parts), member)

        @tff.federated_computation(*inner.next.type_signature.parameter)
        def step(state, updates):
            done = inner.next(state, updates)
            return tff.templates.MeasuredProcessOutput(
                done.state, tff.federated_map(divide, done.result), done.measurements
            )

        return tff.templates.AggregationProcess(inner.initialize, step)


def test_a_process_built_in_another_thread_can_be_called_there(scene):
    with ThreadPoolExecutor(1) as other:
        state = other.submit(lambda: build_process(scene.setting, scene.weights).initialize()).result()
    assert_close(state.global_model_weights.trainable, scene.weights, atol=0)


def test_a_state_survives_its_checkpoint(scene, federation):
    state, _ = federation.next(federation.start(scene.weights), benign_jobs(scene))
    again = federation.from_arrays(federation.to_arrays(state))
    given = benign_jobs(scene, (3,))
    one, other = (federation.weights(federation.next(s, given)[0]) for s in (state, again))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
