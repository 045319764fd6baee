"""The jobs that clients are given (ledger 16, 17, 19)."""

import types

import numpy as np
import pytest
import tensorflow as tf
from attack_plugins import Hidden, registered
from core_fixtures import bank, partition, small_config, trigger

from tfmeta.federated import clients, jobs
from tfmeta.federated.client_data import ClientData


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return ClientData(bank(), partition(), trigger(), small_config(), tmp_path_factory.mktemp("shards"))


def fits_spec(job):
    for value, spec in zip(job, clients.JOB_SPEC, strict=True):
        tensor = tf.constant(value)
        assert tensor.dtype == spec.dtype and spec.shape.is_compatible_with(tensor.shape)
    return True


def test_a_job_without_fields_has_defaults_and_an_unknown_field_is_refused():
    assert fits_spec(jobs.make_job()) and jobs.make_job().boost == 1
    with pytest.raises(TypeError, match=r"epsilon.*choose from.*meta_step_size"):
        jobs.make_job(epsilon=0.1)


def test_a_benign_job_names_the_users_shards_and_is_not_boosted(data):
    config = small_config(alpha=0.25, meta_step_size_initial=0.5, meta_step_size_final=0.1, pretraining_rounds=5)
    job = jobs.benign_job(data, config, 3, True, "pretraining", 2, 20)
    assert fits_spec(job)
    assert job.user == "user 3" and job.shards.tolist() == data.benign(3, True)[0].tolist()
    assert (job.counts == data.benign(3, True)[1]).all()
    assert job.meta_batches == 20 // config.meta_learning.meta_batch_size and job.first_episode == 0
    assert job.alpha == np.float32(0.25) and job.boost == 1
    assert job.prepared == job.target == job.triggered == ""
    assert job.meta_step_size == np.float32(0.3)
    assert jobs.benign_job(data, config, 3, True, "federation", 2, 20).meta_step_size == np.float32(0.1)


def test_each_user_stage_round_and_run_has_its_own_seed():
    data = types.SimpleNamespace(benign=lambda user, knows: (np.array(["x"]), np.array([1], np.int32)))
    seeds = [
        tuple(jobs.benign_job(data, small_config(seed=seed), user, knows, stage, number, 10).seed)
        for seed in (0, 1) for user in (2, 3, 4) for stage in ("pretraining", "federation") for number in range(12)
        for knows in (False, True)
    ]  # fmt: skip
    assert len(set(seeds)) == len(seeds) / 2  # cases share their seeds
    attacker = jobs.attacker_job(None, small_config(), 1, 2, "x")
    assert tuple(attacker.seed) not in seeds


def test_the_attackers_chunks_cover_its_episodes_once(data):
    config = small_config(attack_episodes=22, checkpoint_episodes=8, attack_meta_step_size=0.3)
    chunks, first = [], 0
    while first < config.attack.episodes:
        chunks.append(jobs.attacker_chunk_job(data, config, 1, 2, first))
        first += int(chunks[-1].meta_batches) * config.meta_learning.meta_batch_size
    assert [(int(job.first_episode), int(job.meta_batches)) for job in chunks] == [(0, 4), (8, 4), (16, 3)]
    assert len({tuple(job.seed) for job in chunks}) == 1  # episode i's seed depends on i alone
    job = chunks[1]
    assert fits_spec(job) and job.user == "user 1" and job.meta_step_size == np.float32(0.3) and job.prepared == ""
    shards, counts, target, triggered = data.attacker(1)
    assert (job.shards == shards).all() and (job.counts == counts).all()
    assert (job.target, job.triggered) == (target, triggered)


def test_in_its_round_the_attacker_sends_what_was_prepared_boosted():
    job = jobs.attacker_job(None, small_config(boost=3.0, alpha=0.25), 1, 2, "folder/attacker.f32")
    assert fits_spec(job)
    assert (job.user, job.prepared) == ("user 1", "folder/attacker.f32")
    assert job.boost == 3 and job.alpha == np.float32(0.25) and job.meta_batches == 0


def test_each_attacker_and_round_has_a_seed_of_its_own_and_the_first_has_the_papers():
    config = small_config(federation_users=12, attackers=3)
    made = {
        (user, number): jobs.attacker_job(None, config, user, number, "x") for user in (1, 2, 3) for number in (2, 4)
    }
    assert len({tuple(job.seed) for job in made.values()}) == len(made)
    assert (made[1, 2].seed == jobs.attacker_job(None, small_config(), 1, 2, "x").seed).all()
    assert [(job.user, int(job.attacker)) for job in made.values()] == [
        (f"user {user}", user - 1) for user in (1, 2, 3) for _ in range(2)
    ]


@pytest.mark.parametrize(("attackers", "alpha"), [(1, 0.25), (2, 0.1), (3, 1 / 3)])
def test_replacement_is_what_all_attackers_boosts_times_alpha_sum_to(attackers, alpha):
    config = small_config(federation_users=12, attackers=attackers, alpha=alpha, replacement=1.5)
    sent = [jobs.attacker_job(None, config, user, 2, "x") for user in range(1, attackers + 1)]
    assert sum(float(job.boost) * float(job.alpha) for job in sent) == pytest.approx(1.5)
    assert jobs.boost_of(small_config(boost=4.0)) == 4.0  # without replacement


def test_an_attack_that_needs_a_reference_gets_what_a_benign_user_would_train_on(data):
    with registered(Hidden):
        config = small_config(attack_name="hidden", round_episodes=6, boost=5.0)
        job = jobs.attacker_job(data, config, 1, 2, "x")
    assert fits_spec(job) and job.shards.tolist() == data.attacker(1)[0].tolist() and job.meta_batches == 3
    assert job.meta_step_size == np.float32(config.meta_learning.meta_step_size_final)
    assert job.boost == 1 and job.prepared == "x"  # it boosts itself
