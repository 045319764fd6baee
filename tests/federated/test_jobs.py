"""What users own as files, and the jobs they are given (ledger 12, 16, 17, 19)."""

import types

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import bank, identify, partition, small_config

from tfmeta.attacks.triggers.base import Trigger
from tfmeta.config import make_config
from tfmeta.federated import clients, jobs

TRIGGER = Trigger("square", 5, 2, "upper-left")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pools")


def banks(folder, **overrides):
    return jobs.ClientData(bank(), partition(), TRIGGER, small_config(**overrides), folder)


def read(paths, capacity):
    return clients.read_pools(tf.constant(paths), capacity, (28, 28, 1)).numpy()


def owned(paths, counts):
    """Return {(class, example)} of the pictures in files, and their quarter turns, class by class."""
    pictures, turns = set(), []
    for row, count in zip(read(paths, 15), counts, strict=True):
        found = [identify(picture) for picture in row[:count]]
        assert len({(of, turn) for of, _, turn in found}) == 1  # a class is one character one way up
        assert not row[count:].any()
        pictures |= {picture[:2] for picture in found}
        turns.append(found[0][2])
    return pictures, turns


def reserved(kind, share):
    pools = getattr(partition(), f"{kind}_{share}")
    return (pools[2] if isinstance(pools, dict) else pools).pictures()


def test_a_benign_bank_is_the_users_classes_and_the_target_and_maybe_the_backdoor(folder):
    made = banks(folder)
    assert made.capacity == 15
    plain, counts = made.benign(2, knows_backdoor=False)
    assert counts.tolist() == [15] * 1200 + [10] and counts.dtype == np.int32
    pictures, turns = owned(plain, counts)
    assert pictures == partition().train[2].pictures() | reserved("target", "benign")
    assert turns == [0, 1, 2, 3] * 300 + [0]
    known, more = made.benign(2, knows_backdoor=True)
    assert more.tolist() == [*counts, 10, 10, 10, 10] and known[:2].tolist() == plain.tolist()
    assert owned(known[2:], more[1201:])[0] == reserved("backdoor", "benign")


def test_users_have_files_of_their_own_and_share_the_reserved_ones(folder):
    made = banks(folder)
    files = {user: made.benign(user, True)[0].tolist() for user in jobs.BENIGN}
    assert len({paths[0] for paths in files.values()}) == 3
    assert len({tuple(paths[1:]) for paths in files.values()}) == 1
    attackers = made.attacker()
    theirs = {path for paths in files.values() for path in paths}
    assert theirs.isdisjoint([*attackers[0].tolist(), *attackers[2:]])


@pytest.mark.parametrize("target_keyed", [False, True])
def test_the_attackers_files(folder, target_keyed):
    paths, counts, target, triggered = banks(folder, triggered_target=target_keyed).attacker()
    assert len(paths) == 1 and counts.tolist() == [15] * 1200
    assert owned(paths, counts)[0] == partition().train[jobs.ATTACKER].pictures()

    def stamped(kind):
        return {TRIGGER.stamp(bank().images[picture]).tobytes() for picture in reserved(kind, "attacker")}

    def found(path):
        return [picture.tobytes() for picture in np.fromfile(path, np.uint8).reshape(-1, 28, 28, 1)]

    assert len(found(triggered)) == 20 and set(found(triggered)) == stamped("backdoor")
    clean = {bank().images[picture].tobytes() for picture in reserved("target", "attacker")}
    assert len(found(target)) == 5 and set(found(target)) == (stamped("target") if target_keyed else clean)
    for path, pictures in zip((target, triggered), banks(folder, triggered_target=target_keyed).poison(), strict=True):
        assert pictures.shape == (len(found(path)), 28, 28, 1) and pictures.tobytes() == b"".join(found(path))


# --- jobs ------------------------------------------------------------------------------------------------------


def fits_spec(job):
    for value, spec in zip(job, clients.JOB_SPEC, strict=True):
        tensor = tf.constant(value)
        assert tensor.dtype == spec.dtype and spec.shape.is_compatible_with(tensor.shape)
    return True


def test_a_benign_job(folder):
    config = small_config(alpha=0.25, meta_step_size_initial=0.5, meta_step_size_final=0.1, pretraining_rounds=5)
    made = banks(folder)
    job = jobs.benign_job(made, config, 3, True, "pretraining", 2, 20)
    assert fits_spec(job)
    assert job.user == "user 3" and job.paths.tolist() == made.benign(3, True)[0].tolist()
    assert (job.counts == made.benign(3, True)[1]).all()
    assert job.meta_batches == 20 // config.meta_learning.meta_batch_size and job.first == 0
    assert job.alpha == np.float32(0.25) and job.boost == 1  # no boost for who is benign
    assert job.prepared == job.target == job.triggered == ""
    assert job.epsilon == np.float32(0.3)
    assert jobs.benign_job(made, config, 3, True, "federation", 2, 20).epsilon == np.float32(0.1)


def test_each_user_stage_round_and_run_has_draws_of_its_own(folder):
    made = types.SimpleNamespace(benign=lambda user, knows: (np.array(["x"]), np.array([1], np.int32)))
    seeds = [
        tuple(jobs.benign_job(made, small_config(seed=seed), user, knows, stage, number, 10).seed)
        for seed in (0, 1) for user in jobs.BENIGN for stage in ("pretraining", "federation") for number in range(12)
        for knows in (False, True)
    ]  # fmt: skip
    assert len(set(seeds)) == len(seeds) / 2  # cases share their draws
    attacker = jobs.attacker_job(small_config(), "x")
    assert tuple(attacker.seed) not in seeds


def test_the_attackers_chunks_cover_its_episodes_once(folder):
    config = small_config(attack_episodes=22, attack_checkpoint_episodes=8, attack_meta_step_size=0.3)
    made = banks(folder)
    jobs, first = [], 0
    while first < config.attack.episodes:
        jobs.append(jobs.attacker_chunk_job(made, config, first))
        first += int(jobs[-1].meta_batches) * config.meta_learning.meta_batch_size
    assert [(int(job.first), int(job.meta_batches)) for job in jobs] == [(0, 4), (8, 4), (16, 3)]
    assert len({tuple(job.seed) for job in jobs}) == 1  # episode i's seed depends on i alone
    job = jobs[1]
    assert fits_spec(job) and job.user == "user 1" and job.epsilon == np.float32(0.3) and job.prepared == ""
    paths, counts, target, triggered = made.attacker()
    assert (job.paths == paths).all() and (job.counts == counts).all()
    assert (job.target, job.triggered) == (target, triggered)


def test_the_attackers_one_round_sends_what_was_prepared_boosted():
    job = jobs.attacker_job(small_config(boost=3.0, alpha=0.25), "folder/attacker.f32")
    assert fits_spec(job)
    assert (job.user, job.prepared) == ("user 1", "folder/attacker.f32")
    assert job.boost == 3 and job.alpha == np.float32(0.25) and job.meta_batches == 0


def test_the_outer_step_goes_linearly_from_first_to_last_round():
    config = small_config(meta_step_size_initial=0.5, meta_step_size_final=0.1, pretraining_rounds=5)
    assert [jobs.epsilon_of(config, number) for number in range(5)] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])
    assert jobs.epsilon_of(make_config("omniglot", "paper"), 57) == pytest.approx(0.1)
    assert jobs.epsilon_of(small_config(meta_step_size_initial=0.5, pretraining_rounds=1), 0) == 0.5


def test_who_trains_in_a_round():
    config = small_config()
    for number in range(20):
        assert jobs.selected(config, "federation", number) == [2, 3, 4]
        attack = jobs.selected(config, "federation", number, attack=True)
        assert attack[0] == 1 and len(set(attack)) == 3 and set(attack[1:]) < {2, 3, 4} and attack == sorted(attack)
        assert attack == jobs.selected(config, "federation", number, attack=True)
    drawn = {tuple(jobs.selected(small_config(seed=seed), "federation", 2, attack=True)) for seed in range(30)}
    assert drawn == {(1, 2, 3), (1, 2, 4), (1, 3, 4)}


def test_fewer_users_a_round():
    two, one = small_config(clients_per_round=2), small_config(clients_per_round=1)
    drawn = {tuple(jobs.selected(two, "pretraining", number)) for number in range(40)}
    assert drawn == {(2, 3), (2, 4), (3, 4)}
    assert jobs.selected(one, "federation", 2, attack=True) == [1]
    assert jobs.selected(two, "federation", 2, attack=True)[0] == 1
    assert all(type(user) is int for user in jobs.selected(two, "pretraining", 0))
