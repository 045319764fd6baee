"""Stored results as frames: every number of every document, and errors that name the file."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import tfmeta
from tfmeta.errors import ResultError
from tfmeta.store import results


@pytest.fixture
def root(tmp_path, made):
    """A results root with two runs: a plain one of two cases, and one with a changed field."""
    for case in "ab":
        results.write(tmp_path / "glyphs-smoke", *made(seed=ord(case), case=case))
    changed = {"defence.delta": 0.5, "meta_learning.seed": 3}
    results.write(tmp_path / "glyphs-smoke-delta=0.5", *made(seed=7, changed=changed))
    return tmp_path


def test_every_point_of_every_curve_is_a_row(root):
    frame = tfmeta.load_results(root)
    assert list(frame.columns) == [
        "dataset", "profile", "tag", "changed", "experiment", "case", "user", "head", "metric", "split", "x_name", "x",
        "mean", "low", "high", "n", "seed", "commit", "path",
    ]  # fmt: skip
    assert len(frame) == 3 * 2 * 3  # documents, curves, points
    assert frame["path"].nunique() == 3
    for path, rows in frame.groupby("path"):
        document = results.read(path)
        for curve in document["curves"]:
            user = rows["user"].isna() if curve["user"] is None else rows["user"] == curve["user"]
            found = rows[user & (rows["metric"] == curve["metric"]) & (rows["split"] == curve["split"])]
            for name in ("x", "mean", "low", "high"):
                assert found[name].tolist() == curve[name]
            assert set(found["n"]) == {curve["n"]} and set(found["head"]) == {curve["head"]}
        assert set(rows["case"]) == {document["case"]}
        assert set(rows["seed"]) == {3} and set(rows["commit"]) == {"unknown"}


def test_changed_fields_are_in_words(root):
    frame = tfmeta.load_results(root)
    by_tag = frame.groupby("tag")["changed"].unique().map(list).to_dict()
    assert by_tag == {"": [""], "seed=3+delta=0.5": ["defence.delta=0.5, meta_learning.seed=3"]}


def test_a_runs_folder_is_read_alone(root):
    assert set(tfmeta.load_results(root / "glyphs-smoke")["case"]) == {"a", "b"}
    assert len(tfmeta.load_results(str(root / "glyphs-smoke-delta=0.5"))) == 6


def test_tasks_have_rows_of_their_own(root):
    points, tasks = (tfmeta.load_results(root / "glyphs-smoke", per_task=each) for each in (False, True))
    assert len(tasks) == 10 * len(points) and set(tasks.columns) - set(points.columns) == {"task", "accuracy"}
    stored = results.read_values(root / "glyphs-smoke" / "fine_tuning-b.json")["after/2/softmax/main"]
    found = tasks[(tasks["case"] == "b") & (tasks["user"] == 2)].pivot(index="x", columns="task", values="accuracy")
    np.testing.assert_array_equal(found.to_numpy(), stored)
    assert found.index.tolist() == [0, 10, 50]
    means = tasks.groupby(["case", "metric", "x"])["accuracy"].mean()
    pd.testing.assert_series_equal(
        means, points.set_index(["case", "metric", "x"])["mean"].sort_index(), check_names=False, check_dtype=False
    )


def test_results_without_curves_have_no_rows(tmp_path, made):
    document, _ = made(curves=[], experiment="runtime")
    results.write(tmp_path, document, {})
    for per_task in (False, True):
        frame = tfmeta.load_results(tmp_path, per_task)
        assert len(frame) == 0 and "x" in frame.columns and ("accuracy" in frame.columns) == per_task


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(ResultError, match="nowhere is not a folder"):
        tfmeta.load_results(tmp_path / "nowhere")
    (tmp_path / "bench.json").write_text("{}")
    with pytest.raises(ResultError, match="holds no results") as raised:
        tfmeta.load_results(tmp_path)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_damaged_result_is_named(root, suffix):
    path = (root / "glyphs-smoke" / "fine_tuning-b.json").with_suffix(suffix)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ResultError) as raised:
        tfmeta.load_results(root)
    assert str(path) in str(raised.value)


def test_pandas_is_loaded_only_for_frames():
    code = "import sys, tfmeta.store; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr
