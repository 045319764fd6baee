"""The figures of the defence's parts: the delta figure and the ablation table."""

import csv
import io

import numpy as np
import pytest
from drawing import caption, entry, lines_of

from figures import FIGURES, style
from tfmeta.errors import ResultError
from tfmeta.store import results

pytestmark = pytest.mark.slow  # together they take longer than test-fast can afford


def test_the_delta_figure_shows_every_curve_and_the_ratio(made_up, drawn, tmp_path):
    folder = made_up(experiments=("delta-curve",))
    FIGURES["fig-delta"].draw(folder, tmp_path)
    panels = [axes for axes in drawn["fig-delta"].axes if axes.lines]
    assert len(panels) == 2
    for axes, case in zip(panels, "ac", strict=True):
        for metric in style.LOOKS:
            measured = entry(folder, case, None, metric, experiment="delta-curve")
            (line,) = lines_of(axes, metric)
            np.testing.assert_allclose(line.get_xydata(), np.c_[measured["x"], 100 * np.array(measured["mean"])])
        for metric in style.BACKDOORS:
            (line,) = lines_of(axes, metric, dashed=True)
            before = entry(folder, case, None, metric, "before", experiment="delta-curve")
            np.testing.assert_allclose(line.get_ydata(), 100 * np.array(before["mean"]))
        (top,) = axes.child_axes
        labels = {tick: text.get_text() for tick, text in zip(top.get_xticks(), top.get_xticklabels(), strict=True)}
        assert labels == {0.2: "0.38", 0.4: "1", 0.6: "2.2", 0.8: "6", 1.0: "∞"}
    assert "n = 10 tasks (meta-test), 30 tasks (main task" in caption(drawn["fig-delta"])


def test_the_delta_figure_needs_its_ratios(made_up, make_document, tmp_path):
    folder = made_up(experiments=("delta-curve",))
    path = results.path_of(folder, "delta-curve", "a")
    found, values = results.read(path), results.read_values(path)
    del found["measurements"], found["format"], found["values_sha256"]
    results.write(folder, found, values)
    with pytest.raises(ResultError, match=r"delta-curve-a\.json has no norm ratio"):
        FIGURES["fig-delta"].draw(folder, tmp_path)


def test_the_ablation_table_holds_the_stored_numbers(made_up, tmp_path):
    spec = FIGURES["ablation-table"]
    folder = made_up(experiments=spec.experiments)
    markdown, table = spec.draw(folder, tmp_path)
    assert [path.name for path in (markdown, table)] == ["ablation-table.md", "ablation-table.csv"]
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    # 10 parts, two of them also before the attack; 4 iterations, without fine-tuning 1; 4 metrics, 2 cases
    assert len(rows) == (11 * 4 + 1) * 4 * 2
    for row in rows:
        split = row["model"].split()[0]
        stored = entry(folder, row["case"], None, row["metric"], split, row["experiment"])
        place = stored["x"].index(int(row["iteration"]))
        for name in ("mean", "low", "high"):
            assert float(row[name]) == pytest.approx(stored[name][place], rel=1e-5)
        assert int(row["n"]) == stored["n"]
        assert (row["dataset"], row["profile"], row["seed"]) == ("omniglot", "quick", "0")
    text = markdown.read_text()
    stored = entry(folder, "c", None, "main", experiment="ablation-one-phase")
    cell = "{:.0f} ({:.0f} to {:.0f})".format(*(100 * stored[name][0] for name in ("mean", "low", "high")))
    (line,) = [line for line in text.split("## Case (c)")[1].splitlines() if line.startswith("| one phase")]
    assert line.split(" | ")[1:2] == ["0"] and cell == line.split(" | ")[3]
    for words in ("Omniglot", "profile quick (reduced", "main task n = 30", "meta-test n = 10", "delta = 0.3", "20%"):
        assert words in text


def test_the_ablation_table_names_what_is_missing(made_up, tmp_path):
    spec = FIGURES["ablation-table"]
    folder = made_up(experiments=spec.experiments)
    for case in "ac":
        (folder / f"ablation-head-rate-x10-{case}.json").unlink()
    with pytest.raises(ResultError, match=r"ablation-head-rate-x10-a\.json is missing: run `make ablation-table"):
        spec.draw(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_ablation_table_needs_the_names_of_its_rows(made_up, tmp_path):
    spec = FIGURES["ablation-table"]
    folder = made_up(experiments=spec.experiments)
    path = results.path_of(folder, "ablation-full", "a")
    found, values = results.load(path)
    del found["measurements"]["rows"]
    results.write(folder, found, values)
    with pytest.raises(ResultError, match=r"ablation-full-a\.json does not name the table's rows"):
        spec.draw(folder, tmp_path / "out")


def test_a_variants_table_does_not_replace_the_plain_one(made_up, tmp_path):
    spec = FIGURES["ablation-table"]
    plain = spec.draw(made_up(experiments=spec.experiments), tmp_path)
    variant = spec.draw(made_up(experiments=spec.experiments, changed={"defence.delta": 0.5}), tmp_path)
    assert [path.name for path in variant] == ["ablation-table-delta=0.5.md", "ablation-table-delta=0.5.csv"]
    assert all(path.exists() for path in plain)
    assert "with delta = 0.5 (profile: 0.3)" in variant[0].read_text()
    assert "profile: 0.3" not in plain[0].read_text()
