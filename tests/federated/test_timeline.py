"""The timeline: models are shared, training resumes after any stop, and nothing is trained twice."""

import itertools
import types

import core_fixtures
import numpy as np
import pytest

from tfmeta.config import make_config
from tfmeta.errors import BusyError, ConfigError, ModelError, ResultError
from tfmeta.federated.client_data import ClientData
from tfmeta.federated.clients import Setting
from tfmeta.federated.in_process import InProcessFederation
from tfmeta.federated.rounds import BEFORE_ATTACK
from tfmeta.federated.timeline import Timeline
from tfmeta.models.conv4 import Conv4
from tfmeta.store import lock
from tfmeta.store.reuse import StoredFiles

SMALL = dict(
    filters=2, meta_learning_inner_steps=1, attack_inner_steps=1, meta_batch_size=1, pretraining_rounds=3,
    pretraining_episodes=1, attack_episodes=3, checkpoint_episodes=1, rounds_after=2, round_episodes=1,
)  # fmt: skip

ATTACKED = 2


class Killed(Exception):
    """Stands for a SIGKILL between two checkpoints; the real one is in tests/experiments."""


class Stoppable:
    """Timelines over one federation that can be stopped after some calls; `fields` are those of the configuration."""

    def __init__(self, tmp_path_factory, **fields):
        self.bank, self.fields = core_fixtures.bank(), fields
        self.shards = tmp_path_factory.mktemp("shards")
        self.calls, self.stop_after = 0, None
        self.federation = self._stoppable(InProcessFederation(self.setting().setting))

    def setting(self, **overrides):
        config = make_config("omniglot", "smoke", **{**SMALL, **self.fields, **overrides})
        partition = core_fixtures.partition(0, config.federation.users, config.federation.attackers)
        data = ClientData(self.bank, partition, core_fixtures.trigger(), config, self.shards)
        setting = Setting(Conv4((28, 28, 1), 5, config.meta_learning.filters), data.capacity, config)
        return types.SimpleNamespace(setting=setting, data=data)

    def _stoppable(self, federation):
        for name in ("next", "train_chunk"):
            setattr(federation, name, self._counted(getattr(federation, name)))
        return federation

    def _counted(self, function):
        def call(*arguments):
            if self.stop_after is not None and self.calls >= self.stop_after:
                raise Killed
            self.calls += 1
            return function(*arguments)

        return call

    def timeline(self, root, knows_backdoor=True, **overrides):
        made = self.setting(**overrides)
        identity = {"dataset": self.bank.dataset, "digest": self.bank.digest}
        return Timeline(made.setting, made.data, lambda stage: identity, root, lambda: self.federation, knows_backdoor)

    def run(self, root, number=4, stop_after=None, **more):
        self.calls, self.stop_after = 0, stop_after
        try:
            return self.timeline(root, **more).weights(number)
        finally:
            self.stop_after = None


@pytest.fixture(scope="module")
def sim(tmp_path_factory):
    return Stoppable(tmp_path_factory)


@pytest.fixture(scope="module")
def unbroken(sim, tmp_path_factory):
    root = tmp_path_factory.mktemp("unbroken")
    sim.run(root)
    return root, sim.calls


def contents(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*.npz"))}


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
def test_a_run_stopped_anywhere_and_resumed_leaves_the_same_bytes(sim, unbroken, tmp_path):
    root, calls = unbroken
    assert calls == 3 + 2 + 3 + 2  # pre-training, rounds 1 and 2, the attacker's chunks, rounds after
    for stop_after in range(calls):
        broken = tmp_path / str(stop_after)
        with pytest.raises(Killed):
            sim.run(broken, stop_after=stop_after)
        sim.run(broken)
        assert sim.calls == calls - stop_after  # nothing was trained twice
        assert contents(broken) == contents(root)


@pytest.mark.slow
def test_stopping_at_every_step_of_one_run_leaves_the_same_bytes(sim, unbroken, tmp_path):
    root, calls = unbroken
    for _ in range(calls - 1):
        with pytest.raises(Killed):
            sim.run(tmp_path, stop_after=1)
    sim.run(tmp_path, stop_after=1)
    assert contents(tmp_path) == contents(root)


@pytest.mark.slow
def test_a_run_killed_right_after_each_checkpoint_leaves_the_same_files(sim, unbroken, tmp_path, monkeypatch):
    save = StoredFiles.save

    def saving(*arguments):
        save(*arguments)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(StoredFiles, "save", saving)
        for _ in range(unbroken[1]):
            with pytest.raises(Killed):
                sim.run(tmp_path)
    sim.run(tmp_path)
    assert sim.calls == 0
    assert contents(tmp_path) == contents(unbroken[0])


def test_models_are_trained_once(sim, unbroken):
    root, _ = unbroken
    models = [sim.run(root, number) for number in range(5)]
    assert sim.calls == 0
    assert all(not np.array_equal(a[0], b[0]) for a, b in itertools.pairwise(models))


def test_fields_of_later_stages_do_not_train_earlier_models_again(sim, unbroken):
    root, _ = unbroken
    sim.run(root, ATTACKED, task_steps=7, tasks=3, rounds_after=1)
    assert sim.calls == 0


@pytest.mark.parametrize("field", [{"seed": 1}, {"knows_backdoor": False}, {"split_seed": 1}, {"alpha": 0.25}])
def test_fields_that_decide_a_model_get_a_model_of_their_own(sim, tmp_path, field):
    sim.run(tmp_path, 0)
    plain = contents(tmp_path)
    sim.run(tmp_path, 0, **field)
    assert sim.calls == 3
    both = contents(tmp_path)
    assert len(both) == 2 * len(plain)
    assert all(both[path] == data for path, data in plain.items())


def test_the_attack_replaces_the_model(sim, unbroken):
    """lambda alpha = 1: the attacked model is theta_a plus a third of the benign updates (ledger 16)."""
    root, _ = unbroken
    timeline = sim.timeline(root)
    theta_a = np.fromfile(timeline.jobs(ATTACKED)[0].prepared, "<f4")
    before, after = (
        np.concatenate([np.ravel(part) for part in timeline.weights(number)])
        for number in (BEFORE_ATTACK, ATTACKED)
    )
    assert np.linalg.norm(theta_a - before) > 0
    # the rest is a third of each of the two benign updates: one step each
    benign = after - theta_a
    assert np.abs(benign).max() <= 2 / 3 * 0.5 * 0.0011  # 2 users, alpha 1/3, meta step size 0.5, one Adam step


def test_a_damaged_checkpoint_is_refused_by_name(sim, tmp_path):
    sim.run(tmp_path, 0)
    path = next(tmp_path.rglob("round-00003.npz"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ResultError, match=r"round-00003\.npz"):
        sim.run(tmp_path, 0)


def test_a_checkpoint_of_another_configuration_is_refused_with_the_field(sim, tmp_path):
    sim.run(tmp_path, 0, seed=5)
    theirs = next(tmp_path.rglob("round-00003.npz"))
    ours = sim.timeline(tmp_path).folder("pretraining") / theirs.name
    ours.parent.mkdir(parents=True)
    ours.write_bytes(theirs.read_bytes())
    with pytest.raises(ResultError, match="seed"):
        sim.run(tmp_path, 0)


def test_a_second_run_on_the_same_model_is_refused(sim, tmp_path):
    with lock.hold(sim.timeline(tmp_path).folder("pretraining")):
        with pytest.raises(BusyError):
            sim.run(tmp_path, 0)


def test_rounds_run_by_hand_equal_those_of_the_timeline(sim, unbroken):
    """What a notebook does: the jobs of each round, given to the federation one after another."""
    root, _ = unbroken
    timeline, federation = sim.timeline(root), sim.federation
    sim.calls, sim.stop_after = 0, None
    state = federation.start(sim.setting().setting.model.initial_weights(0))
    for number in range(3):
        jobs = timeline.pretraining_jobs(number)
        assert [job.user for job in jobs] == ["user 2", "user 3", "user 4"]
        state, _ = federation.next(state, jobs)
    assert same(federation.weights(state), timeline.weights(0))
    for number in range(1, timeline.last + 1):
        jobs = timeline.jobs(number)
        assert ("user 1" in [job.user for job in jobs]) == (number == ATTACKED)
        state, _ = federation.next(federation.start(timeline.weights(number - 1)), jobs)
        assert same(federation.weights(state), timeline.weights(number))
    assert sim.calls == 3 + timeline.last  # ours alone: the timeline trained nothing


def test_asking_for_the_attacks_jobs_trains_what_is_missing(sim, unbroken, tmp_path):
    """Once, and under the lock of a run that was stopped before the attack."""
    with pytest.raises(Killed):
        sim.run(tmp_path, stop_after=3 + 1)
    sim.calls = 0
    with lock.hold(sim.timeline(tmp_path).folder("attack")):
        with pytest.raises(BusyError):
            sim.timeline(tmp_path).jobs(ATTACKED)
    for _ in range(2):
        jobs = sim.timeline(tmp_path).jobs(ATTACKED)
        assert [float(job.boost) for job in jobs] == [3, 1, 1]
        assert sim.calls == 3 + 1
    attack = {path: data for path, data in contents(unbroken[0]).items() if "-attack-" in str(path)}
    assert attack.items() <= contents(tmp_path).items()


@pytest.mark.parametrize(
    ("method", "number", "words"),
    [
        ("pretraining_jobs", 3, "no pre-training round 3: choose 0 to 2"),
        ("pretraining_jobs", -1, "no pre-training round -1"),
        ("jobs", 0, "no round 0: choose 1 to 4"),
        ("jobs", 5, "no round 5"),
    ],
)
def test_jobs_of_an_unknown_round_are_refused(sim, unbroken, method, number, words):
    with pytest.raises(ConfigError, match=words):
        getattr(sim.timeline(unbroken[0]), method)(number)


@pytest.mark.parametrize(("knows", "how"), [(False, "without"), (True, "with")])
def test_bars_say_whether_benign_users_have_backdoor_classes(sim, tmp_path, caplog, knows, how):
    with caplog.at_level("INFO", logger="tfmeta"):  # without a terminal, bars are log lines
        sim.run(tmp_path, 3, knows_backdoor=knows)
    assert {message.split(":")[0] for message in caplog.messages} == {
        f"{what} {how} backdoor classes"
        for what in ("pre-training", "attack, benign users", "attacker, benign users", "benign rounds after the attack")
    }


def test_a_round_that_makes_the_model_nan_is_not_stored(tmp_path, sim, monkeypatch):
    """A user's own aggregation can do that."""
    next_round = sim.federation.next

    def breaking(state, jobs):
        state, loss = next_round(state, jobs)
        return [part * np.float32(np.nan) for part in state] if sim.calls == 3 else state, loss

    monkeypatch.setattr(sim.federation, "next", breaking)
    with pytest.raises(ModelError, match=r"theta_G after the round.*NaN or infinity"):
        sim.run(tmp_path, 0)
    assert {path.name for path in tmp_path.glob("*/round-*.npz")} == {"round-00001.npz", "round-00002.npz"}
