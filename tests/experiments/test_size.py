"""Runs that cannot fit, or would take weeks, are refused before they begin; what is stored takes no time."""

import shutil
import time

import pytest
from command_line import invoked, refused

import experiments
import tfmeta
from experiments import size
from tfmeta.config import make_config
from tfmeta.errors import ConfigError
from tfmeta.estimate import Measured, refusal
from tfmeta.utils import memory

SMOKE = ("--dataset", "glyphs", "--profile", "smoke")


@pytest.mark.parametrize(
    "setting",
    ["filters=100000000", "fine_tuning_steps=1000000000000", "tasks=1000000000",
     "pretraining_rounds=99999999999999999999", "inner_batch_size=100000"],
)  # fmt: skip
def test_values_beyond_any_machine_are_refused_by_their_bounds(setting, tmp_path):
    begun = time.monotonic()
    said = refused("run", "fine_tuning", *SMOKE, "--results", tmp_path, "--set", setting)
    assert setting.partition("=")[0] in said and "give a whole number from" in said
    assert time.monotonic() - begun < 5 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("setting", "what"),
    [("filters=4096", "of memory"), ("inner_batch_size=10000", "of memory"), ("pretraining_rounds=1000000", "weeks")],
)
def test_what_the_machine_cannot_do_is_refused_before_anything_is_computed(setting, what, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 5 * 10**9)
    said = refused("run", "fine_tuning", *SMOKE, "--profile", "quick", "--results", tmp_path, "--set", setting)
    assert what in said and f"{setting.replace('=', ' (now ')})" in said and "--yes" in said
    assert not (tmp_path / "models").exists()


def test_tasks_that_do_not_fit_are_refused_in_a_notebook(tmp_path):
    sim = tfmeta.Simulation("glyphs", "smoke", results=tmp_path, evaluation_tasks=100_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "free", lambda: 10**9)
        for ask in (lambda: sim.tasks("a", 2), lambda: sim.model):
            with pytest.raises(ConfigError, match=r"images of the tasks\. Lower evaluation\.tasks \(now 100000\)"):
                ask()
        assert tfmeta.Simulation("glyphs", "smoke", results=tmp_path, evaluation_tasks=100_000, allow_large=True).model
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder in which an experiment's document is stored."""
    folder = tmp_path_factory.mktemp("drawn")
    invoked("run", "fine_tuning", "--case", "a", *SMOKE, "--results", folder, "--set", "runtime=inprocess")
    return folder


def sim_of(folder, **more):
    return tfmeta.Simulation("glyphs", "smoke", results=folder, runtime="inprocess", **more)


@pytest.mark.slow
def test_a_redraw_is_never_refused(drawn, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 0)
    monkeypatch.setattr(refusal, "LONGEST", 0.0)
    given = ("run", "fine_tuning", *SMOKE, "--results", drawn, "--set", "runtime=inprocess")
    assert "fine_tuning-a.json" in invoked(*given, "--case", "a")
    assert "of memory" in refused(*given, "--case", "c")


@pytest.mark.slow
def test_yes_lets_a_run_through(drawn, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 0)
    monkeypatch.setattr(refusal, "LONGEST", 0.0)
    given = ("run", "matching", "--case", "a", *SMOKE, "--results", drawn, "--set", "runtime=inprocess")
    assert "of memory" in refused(*given)
    monkeypatch.setattr(memory, "free", lambda: 10**10)
    assert "this run would take" in refused(*given)
    assert "matching-a.json" in invoked(*given, "--yes")


@pytest.mark.slow
def test_what_is_stored_is_not_left_to_do(drawn, tmp_path):
    both = [("fine_tuning", "a"), ("matching", "a")]
    new, half = size.left(sim_of(tmp_path), both), size.left(sim_of(drawn), [*both[:1], ("delta-curve", "a")])
    assert new.pretraining == 2 * 3 * 10 and new.poisoned == 10 and new.benign == (3 + 2) * 10
    assert len(new.measured) == 2
    assert (half.pretraining, half.poisoned, half.benign) == (0, 0, 0) and len(half.measured) == 1
    later = size.left(sim_of(drawn), [("meta_training", "a")])
    assert (later.pretraining, later.poisoned, later.benign) == (0, 0, 3 * 3 * 10)
    assert size.left(sim_of(drawn), both[:1]) == size.Work()
    assert size.left(sim_of(drawn), [("fine_tuning", "c")]).pretraining == 60  # with backdoor classes: other models
    model = next((drawn / "models").glob("*-attack-*"))
    shutil.copytree(drawn / "models", tmp_path / "models")
    for path in (tmp_path / "models" / model.name).glob("round-*.npz"):
        path.unlink()
    killed = size.left(sim_of(tmp_path), [("delta-curve", "a")])  # after the attacker's training
    assert (killed.pretraining, killed.poisoned, killed.benign) == (0, 0, 50)


@pytest.mark.parametrize("name", experiments.modules())
def test_every_experiment_says_what_it_needs(name):
    needs = getattr(experiments.module(name), "needs", None)
    assert needs is not None
    found = needs(name, make_config("omniglot", "quick"))
    assert found.measured or found.model is None


def test_needs_follow_the_configuration():
    config = make_config("omniglot", "quick")
    assert size.needs_of("fine_tuning", config).measured == (Measured(8, 10, 200),)
    assert size.needs_of("matching", config).measured == (Measured(8, 10, 200, True),)
    assert size.needs_of("delta-curve", config).measured == (Measured(80, 10, 200, True),)
    assert size.needs_of("meta_training", config).measured == (Measured(13 * 4, 10, 50),)
    assert size.needs_of("figA8", config).prepared == (Measured(12, 10, 0, extra_episodes=100),)
    named = config.replace({"defence.name": "matching", "evaluation.users": 1})
    assert size.needs_of("fine_tuning", named).measured == (Measured(4, 10, 200, True),)


def test_extra_meta_training_that_two_experiments_share_counts_once(tmp_path):
    sim = tfmeta.Simulation("glyphs", "smoke", results=tmp_path)
    work = size.left(sim, [("figA8", "a"), ("figA9", "a"), ("figA9", "c")])
    assert [one.extra_episodes > 0 for one in work.measured].count(True) == 2
