"""Timelines of several attackers and several rounds of the attack."""

from pathlib import Path

import core_fixtures
import numpy as np
import pytest
from test_timeline import Killed, Stoppable, contents, same

from tfmeta.federated import rounds

SIZES = dict(federation_users=12, attackers=2, clients_per_round=4, attack_rounds="2,4", rounds_after=3)


@pytest.fixture(scope="module")
def sim(tmp_path_factory):
    return Stoppable(tmp_path_factory, **SIZES)


@pytest.fixture(scope="module")
def unbroken(sim, tmp_path_factory):
    root = tmp_path_factory.mktemp("unbroken")
    sim.run(root, number=5)
    return root, sim.calls


def test_each_attacker_trains_in_each_round_of_the_attack_in_files_of_its_own(sim, unbroken):
    root, calls = unbroken
    assert calls == 3 + 4 + 2 * 2 * 3 + 1  # pre-training, rounds 1 to 4, attackers x rounds x chunks, round 5
    names = {path.name for path in sim.timeline(root).folder("attack").iterdir() if path.suffix == ".npz"}
    own = {"attacker", "attacker-2-round-00002", "attacker-1-round-00004", "attacker-2-round-00004"}
    assert names == {f"{name}.npz" for name in own} | {f"round-{number:05d}.npz" for number in range(1, 5)}
    prepared = [job.prepared for number in (2, 4) for job in sim.timeline(root).jobs(number)[:2]]
    assert {Path(path).name[:-25] for path in prepared} == own
    assert len({Path(path).read_bytes() for path in prepared}) == 4
    assert {path.name for path in sim.timeline(root).folder("rounds").glob("round-*")} == {"round-00005.npz"}


def test_attacked_stands_for_the_last_round_of_the_attack(sim):
    config = sim.setting().setting.config
    assert rounds.with_attackers(config) == (2, 4) and rounds.number_of("attacked", config) == 4
    assert rounds.number_of("before_attack", config) == 1 and rounds.last_round(config) == 5


def test_all_attackers_take_part_in_rounds_of_the_attack_and_nobody_else_is_boosted(sim, unbroken):
    timeline = sim.timeline(unbroken[0])
    for number in range(1, 6):
        jobs = timeline.jobs(number)
        users = [str(job.user) for job in jobs]
        assert len(jobs) == 4 and len(set(users)) == 4
        assert (users[:2] == ["user 1", "user 2"]) == (number in (2, 4))
        assert [float(job.boost) for job in jobs] == ([3, 3, 1, 1] if number in (2, 4) else [1] * 4)
        assert [int(job.attacker) for job in jobs] == ([0, 1, 0, 0] if number in (2, 4) else [0] * 4)
        assert {job.alpha for job in jobs} == {np.float32(1 / 4)}


def test_a_round_of_two_attackers_adds_both_of_their_models(sim, unbroken):
    timeline, config = sim.timeline(unbroken[0], attack_episodes=3), sim.setting().setting.config
    flat = core_fixtures.flat
    start, end = (flat(timeline.weights(number)) for number in (3, 4))
    sent = [np.fromfile(job.prepared, "<f4") - start for job in timeline.jobs(4)[:2]]
    benign = end - start - config.federation.alpha * config.attack.boost * (sent[0] + sent[1])
    assert min(np.abs(one).max() for one in sent) > 1e-4
    assert np.abs(benign).max() <= 2 / 4 * 0.5 * 0.0011 + 1e-6  # 2 users, alpha 1/4, meta step size 0.5, one step


@pytest.mark.slow
def test_a_run_of_several_attackers_stopped_anywhere_and_resumed_leaves_the_same_bytes(sim, unbroken, tmp_path):
    root, calls = unbroken
    for stop_after in range(3, calls, 2):
        broken = tmp_path / str(stop_after)
        with pytest.raises(Killed):
            sim.run(broken, number=5, stop_after=stop_after)
        sim.run(broken, number=5)
        assert sim.calls == calls - stop_after  # nothing was trained twice
        assert contents(broken) == contents(root)


def test_more_rounds_continue_an_attack_in_every_so_many_rounds(sim, tmp_path):
    few = dict(attack_rounds="every-2", attackers=1)
    sim.run(tmp_path, number=4, **few, rounds_after=2)  # rounds 2 and 4, and 4 is the last
    stored = contents(tmp_path)
    sim.run(tmp_path, number=6, **few, rounds_after=4)
    assert sim.calls == 2 + 3  # rounds 5 and 6, and the attacker's chunks
    assert stored.items() <= contents(tmp_path).items()
    short, long = (sim.timeline(tmp_path, **few, rounds_after=after).weights(4) for after in (2, 4))
    assert same(short, long)


def test_bars_name_the_attacker_and_the_round(sim, tmp_path, caplog):
    with caplog.at_level("INFO", logger="tfmeta"):  # without a terminal, bars are log lines
        sim.run(tmp_path, number=4)
    said = {message.split(":")[0] for message in caplog.messages if message.startswith("attacker")}
    assert said == {
        f"attacker {user} in round {number}, benign users with backdoor classes" for user in (1, 2) for number in (2, 4)
    }
