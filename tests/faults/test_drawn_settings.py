"""Any settings end in a sentence or in a run that fits; a fuzz over all fields."""

import contextlib
import resource
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from drawn_settings import large, ordinary, settings

import experiments
from tfmeta import Simulation
from tfmeta.config import Config, make_config
from tfmeta.errors import TfmetaError
from tfmeta.store import results
from tfmeta.utils import memory

QUIET = dict(deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck), print_blob=True)
DECIDING = (  # fields that decide how much memory a run needs
    "meta_learning.filters", "meta_learning.model", "meta_learning.ways", "meta_learning.shots",
    "meta_learning.meta_batch_size", "meta_learning.inner_batch_size", "meta_learning.inner_steps",
    "evaluation.tasks", "evaluation.task_shots", "federation.users", "federation.clients_per_round",
)  # fmt: skip
SMALL = {"federation.runtime": "inprocess", "data.split_seed": 4}


@pytest.fixture(autouse=True)
def bounded_memory():
    """A draw may take 4 GB at most: otherwise one that is accepted and does not fit would take the machine down."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 30), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def _drawn(campaign_seed, examples, **given):
    """Return a decorator that draws settings; the campaign's seed repeats them."""

    def decorate(test):
        test = hypothesis.given(**given)(test)
        return hypothesis.seed(campaign_seed)(hypothesis.settings(max_examples=examples, **QUIET)(test))

    return decorate


def _sentence(error):
    message = str(error)
    assert message.strip() and len(message) < 2000, message
    assert all(line.isprintable() for line in message.split("\n")), repr(message)


def _simulation(folder, cache, given):
    """Return a simulation, or None if it refuses the settings in a sentence."""
    try:
        return Simulation("glyphs", "smoke", results=folder, cache_dir=cache, **given)
    except TfmetaError as error:
        _sentence(error)


@pytest.mark.parametrize("examples", [200, pytest.param(2000, marks=[pytest.mark.faults, pytest.mark.slow])])
def test_a_configuration_is_made_or_refused_in_a_sentence(examples, campaign_seed):
    accepted = []

    @_drawn(campaign_seed, examples, given=settings())
    def check(given):
        try:
            config = make_config("glyphs", "smoke", **given)
        except TfmetaError as error:
            _sentence(error)
            return
        accepted.append(given)
        assert isinstance(config, Config)
        assert make_config("glyphs", "smoke", **{name: config[name] for name in given}) == config

    check()
    assert len(accepted) > examples / 20  # the draws are not all refused


@pytest.mark.slow
@pytest.mark.parametrize("examples", [15, pytest.param(120, marks=pytest.mark.faults)])
def test_a_simulation_fits_or_is_refused_in_a_sentence(
    examples, campaign_seed, cache_dir, tmp_path, glyphs_bank, monkeypatch
):  # fmt: skip
    """Nothing is trained: what would not fit into 4 GB has to be refused before that, by its estimate."""
    monkeypatch.setattr(memory, "free", lambda: 4 << 30)
    fitting, refused = [], []

    @_drawn(campaign_seed, examples, given=settings((ordinary, large), 3, DECIDING))
    def check(given):
        sim = _simulation(tmp_path, cache_dir, given)
        if sim is None:
            return
        try:
            found = sim.estimate()  # makes the model, but allocates none of its weights
        except TfmetaError as error:
            _sentence(error)
            refused.append(given)
        else:
            assert found.total_memory <= 4 << 30
            fitting.append(given)
        assert not list(tmp_path.iterdir())

    check()
    print(f"{len(fitting)} fit, {len(refused)} do not")
    assert fitting and (refused or examples < 100)  # both kinds are drawn


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_small_run_that_is_accepted_ends_well(campaign_seed, cache_dir, tmp_path_factory, glyphs_bank):
    done = []

    @_drawn(campaign_seed, 60, given=settings((ordinary,), 4))
    def check(given):
        folder = tmp_path_factory.mktemp("run")
        sim = _simulation(folder, cache_dir, given | SMALL) if len(done) < 12 else None
        if sim is None:
            return
        done.append(given)
        with sim, contextlib.suppress(TfmetaError):
            document = results.read(experiments.run("fine_tuning", sim, "c"))
            for curve in document["curves"]:
                assert np.isfinite([curve["mean"], curve["low"], curve["high"]]).all()

    check()
    assert len(done) >= 3
