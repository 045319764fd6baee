"""The federation in this process against numpy (ledger 16)."""

import numpy as np
import pytest
from core_fixtures import Scene, flat

from tfmeta.aggregations.sum import Sum
from tfmeta.errors import ClientUpdateError, ModelError
from tfmeta.federated.in_process import InProcessFederation
from tfmeta.meta_learning.adam import fresh_adam

NORM = 2.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("federation")


@pytest.fixture(scope="module")
def scene(folder):
    return Scene(folder / "sum", alpha=0.3)


@pytest.fixture(scope="module")
def federation(scene):
    return InProcessFederation(scene.setting)


def deltas(scene, norms, seed=0):
    """Random updates of the given L2 norms, as vectors."""
    random = np.random.default_rng(seed)
    drawn = [random.normal(size=flat(scene.weights).size) for _ in norms]
    return [
        (norm * vector / np.linalg.norm(vector)).astype(np.float32) for norm, vector in zip(norms, drawn, strict=True)
    ]


def prepared_jobs(scene, updates, boosts):
    theta = flat(scene.weights)
    return [
        scene.prepared_job(theta + update, user=f"user {i + 1}", boost=boost)
        for i, (update, boost) in enumerate(zip(updates, boosts, strict=True))
    ]


def by_numpy(aggregation, updates, boosts, alpha):
    """alpha * sum of treated, boosted deltas: lambda first, then the inner aggregation, then alpha."""
    total = 0
    for update, boost in zip(updates, boosts, strict=True):
        boosted = update.astype(np.float64) * boost
        norm = np.linalg.norm(boosted)
        if aggregation == "clipping":
            boosted = boosted * min(1, NORM / norm)
        if aggregation == "zeroing" and norm > NORM:
            boosted = 0 * boosted
        total = total + boosted
    return alpha * total


@pytest.mark.parametrize("aggregation", ["sum", "clipping", "zeroing"])
def test_a_round_equals_numpy(federation, folder, aggregation):
    # boosted, the first is above the norm, though it is not before; the others stay below
    norms, boosts = [1.2, 1.5, 0.3], [3.0, 1.0, 1.0]
    scene = Scene(folder / aggregation, aggregation=aggregation, aggregation_norm=NORM, alpha=0.25)
    aggregating = InProcessFederation(scene.setting)
    aggregating._update = federation._update  # no second graph: clients know nothing of the aggregation
    updates = deltas(scene, norms)
    state = aggregating.start(scene.weights)
    moved, loss = aggregating.next(state, prepared_jobs(scene, updates, boosts))
    expected = by_numpy(aggregation, updates, boosts, 0.25)
    assert 0.1 < np.linalg.norm(expected) < 2
    np.testing.assert_allclose(flat(aggregating.weights(moved)) - flat(scene.weights), expected, atol=1e-6)
    assert loss == 0
    assert [part.shape for part in moved] == scene.setting.model.shapes and moved[0].dtype == np.float32


def test_the_boosted_update_replaces_the_model_in_one_round(federation, scene):
    """Ledger 16: with lambda = 1 / alpha the attacker's model survives unchanged, and the others add their share."""
    updates = deltas(scene, [1.0, 0.1, 0.1], seed=4)
    moved, _ = federation.next(federation.start(scene.weights), prepared_jobs(scene, updates, [1 / 0.3, 1, 1]))
    expected = flat(scene.weights) + updates[0] + 0.3 * (updates[1] + updates[2])
    np.testing.assert_allclose(flat(federation.weights(moved)), expected, atol=1e-6)


def test_a_benign_round_adds_the_clients_updates(federation, scene):
    state = federation.start(scene.weights)
    jobs = [scene.job(user=f"user {user}", seed=[user, 7]) for user in (2, 3, 4)]
    alone = [federation.next(state, [job]) for job in jobs]
    together, loss = federation.next(state, jobs)
    sums = sum(flat(moved) - flat(state) for moved, _ in alone)
    np.testing.assert_allclose(flat(together) - flat(state), sums, atol=1e-6)
    assert np.abs(sums).max() > 1e-3
    assert loss == pytest.approx(np.mean([one for _, one in alone])) and loss > 0
    assert len({one for _, one in alone}) == 3


@pytest.mark.parametrize("value", [np.nan, np.inf, "short", "torn"])
def test_a_spoiled_update_fails_the_round_with_the_users_name_and_leaves_the_state(federation, scene, value):
    updates = deltas(scene, [1.0, 1.0, 1.0])
    if value is np.nan or value is np.inf:
        updates[2][5] = value
    jobs = prepared_jobs(scene, updates, [1, 1, 1])
    if isinstance(value, str):
        whole = flat(scene.weights).tobytes()
        jobs[2] = scene.prepared_job({"short": whole[:-8], "torn": whole[:-1]}[value], user="user 3")
    state = federation.start(scene.weights)
    before = flat(state).tobytes()
    with pytest.raises(ClientUpdateError, match=r"user 3(:| sent) .*he state is unchanged$"):
        federation.next(state, jobs)
    assert flat(state).tobytes() == before
    federation.next(state, jobs[:2])  # and the federation works on


def test_a_round_does_not_change_the_state_it_began_with(federation, scene):
    state = federation.start(scene.weights)
    before = flat(state).tobytes()
    moved, _ = federation.next(state, [scene.job()])
    assert flat(state).tobytes() == before != flat(moved).tobytes()
    assert flat(scene.weights).tobytes() == before


def test_data_with_other_numbers_of_classes_does_not_trace_again(federation, scene):
    state = federation.start(scene.weights)
    federation.next(state, [scene.job()])
    federation.next(state, [scene.job(shards=scene.paths[:1], counts=scene.counts[:5], first_episode=9)])
    federation.next(state, prepared_jobs(scene, deltas(scene, [1.0]), [3]))
    assert federation._update.experimental_get_tracing_count() == 1


def test_a_state_survives_a_checkpoint(federation, scene):
    state, _ = federation.next(federation.start(scene.weights), [scene.job()])
    arrays = federation.to_arrays(state)
    assert all(isinstance(part, np.ndarray) for part in arrays.values()) and len(arrays) == 14
    shuffled = dict(sorted(arrays.items(), reverse=True))
    back = federation.from_arrays(shuffled)
    assert all((one == other).all() for one, other in zip(back, state, strict=True))
    ahead, again = (flat(federation.next(begin, [scene.job()])[0]).tobytes() for begin in (state, back))
    assert ahead == again


def test_chunks_and_one_long_training_are_bit_identical(federation, scene):
    fresh = fresh_adam(flat(scene.weights).size)
    whole = federation.train_chunk(scene.weights, fresh.moments.numpy(), 0.0, scene.chunk_job(0, 3))
    weights, moments, steps, _ = federation.train_chunk(
        scene.weights, fresh.moments.numpy(), np.float32(0), scene.chunk_job(0, 1)
    )
    weights, moments, steps, loss = federation.train_chunk(weights, moments, steps, scene.chunk_job(2, 2))
    assert flat(weights).tobytes() == flat(whole[0]).tobytes() and moments.tobytes() == whole[1].tobytes()
    assert steps == whole[2] == 3 * scene.config.attack.inner_steps and loss == whole[3] > 0
    assert federation._chunk.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(("boost", "norm"), [(3, "9.000e.38"), (1, "3.000e.38")])
def test_a_finite_update_above_the_bound_is_refused_with_the_users_name(federation, scene, boost, norm):
    """Boosted, the first would be infinity in float32."""
    state, update = federation.start(scene.weights), np.zeros(flat(scene.weights).size, np.float32)
    update[7] = 3e38
    jobs = prepared_jobs(scene, [update], [boost])
    with pytest.raises(ClientUpdateError, match=rf"user 1 sent an update of norm {norm}, above .*max_update_norm = 1"):
        federation.next(state, [scene.job(), *jobs])
    assert (flat(state) == flat(scene.weights)).all()


def test_the_bound_is_on_the_boosted_update(folder):
    scene = Scene(folder / "bound", max_update_norm=2.0)
    federation = InProcessFederation(scene.setting)
    state = federation.start(scene.weights)
    (update,) = deltas(scene, [1.0])
    federation.next(state, prepared_jobs(scene, [update], [1.99]))
    federation.next(state, prepared_jobs(scene, [update], [-1.99]))
    for boost in (2.01, -2.01):
        with pytest.raises(ClientUpdateError, match=r"user 1 sent an update of norm 2\.01"):
            federation.next(state, prepared_jobs(scene, [update], [boost]))


@pytest.mark.parametrize("change", [dict(boost=np.nan), dict(counts=[6, 6, 6, 0, 6, 4, 5]), dict(shards=["/nowhere"])])
def test_a_job_that_no_client_could_run_is_refused_before_any_client_runs(scene, change, monkeypatch):
    federation = InProcessFederation(scene.setting)
    monkeypatch.setattr(federation, "_update", None)  # calling it would fail otherwise
    with pytest.raises(ClientUpdateError, match=r"^user 3: .*The state is unchanged$"):
        federation.next(federation.start(scene.weights), [scene.job(), scene.job(user="user 3", **change)])


def test_a_chunk_with_a_missing_file_is_refused_with_the_users_name(federation, scene):
    moments, job = fresh_adam(flat(scene.weights).size).moments.numpy(), scene.chunk_job(0, 1)
    with pytest.raises(ClientUpdateError, match=r"^user 1: /nowhere is missing"):
        federation.train_chunk(scene.weights, moments, 0.0, job._replace(triggered=np.str_("/nowhere")))


def test_a_state_that_is_not_finite_is_refused_as_given_and_as_made(federation, scene, monkeypatch):
    state = federation.start(scene.weights)
    spoiled = [part.copy() for part in state]
    spoiled[2][0] = np.inf
    with pytest.raises(ModelError, match=r"theta_G before the round: .*NaN or infinity"):
        federation.next(spoiled, [scene.job()])
    monkeypatch.setattr(Sum, "numpy_rule", lambda self, updates: [part / np.float32(0) for part in updates[0]])
    with (
        np.errstate(all="ignore"),
        pytest.raises(ModelError, match=r"round of user 2, user 3, aggregated by sum: .*NaN"),
    ):
        federation.next(state, [scene.job(), scene.job(user="user 3")])
