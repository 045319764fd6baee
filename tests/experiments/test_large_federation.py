"""Experiments on a federation of another size: who is measured, what results say of it, and the figure."""

import pytest
from matplotlib.axes import Axes

import experiments
import figures
import tfmeta
from experiments.measured import folder_of
from tfmeta.store import results

pytestmark = pytest.mark.slow

SIZES = dict(
    runtime="inprocess", federation_users=100, attackers=2, clients_per_round=5, attack_rounds="2,4", replacement=1,
    evaluation_users=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def sim(glyphs_bank, cache_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    with tfmeta.Simulation("glyphs", "smoke", results=folder, cache_dir=cache_dir, **SIZES) as sim:
        yield sim


def test_the_first_benign_users_are_measured_and_named(sim):
    assert sim.measured_users == (3, 4) and sim.config.federation.alpha == 1 / 5
    document = results.read(experiments.run("meta_training", sim, "a"))
    assert "main task and backdoor: the tasks of users 3 and 4 together" in document["notes"]
    assert {curve["metric"]: curve["n"] for curve in document["curves"]}["main"] == 2 * sim.config.evaluation.tasks


def test_each_measured_user_has_curves(sim):
    document = results.read(experiments.run("fine_tuning", sim, "a"))
    assert {curve["user"] for curve in document["curves"]} == {3, 4, None}


def test_a_figure_over_rounds_shades_every_round_of_the_attack(sim, tmp_path, monkeypatch):
    for case in ("a", "b", "c"):
        experiments.run("meta_training", sim, case)
    shaded, span = [], Axes.axvspan
    monkeypatch.setattr(Axes, "axvspan", lambda axes, *given, **how: shaded.append(given) or span(axes, *given, **how))
    drawn = figures.FIGURES["fig3"].draw(folder_of(sim), tmp_path)
    assert shaded == 3 * [(1, 2), (3, 4)] and all(path.stat().st_size > 0 for path in drawn)
