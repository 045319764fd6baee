"""What a figure is not drawn from: missing, damaged and foreign results."""

import os
import subprocess

import pytest

from figures import FIGURES
from tfmeta.errors import ResultError
from tfmeta.store import results

pytestmark = pytest.mark.slow  # drawn beside the other figures


def test_missing_results_name_file_and_command(made_up, tmp_path):
    folder = made_up(dataset="glyphs", experiments=("fine_tuning",))
    (folder / "fine_tuning-b.json").unlink()
    with pytest.raises(ResultError) as raised:
        FIGURES["fig5"].draw(folder, tmp_path / "out")
    assert str(raised.value) == (
        f"{folder / 'fine_tuning-b.json'} is missing: run `make fig5 DATASET=glyphs PROFILE=quick`, or "
        "`tfmeta run fine_tuning --dataset glyphs --profile quick --case b`"
    )
    with pytest.raises(ResultError, match=r"--seed and --set of 'seed7'"):
        FIGURES["fig3"].draw(tmp_path / "mini-imagenet-paper-seed7", tmp_path / "out")
    with pytest.raises(ResultError, match="run `make fig1`"):
        FIGURES["fig1"].draw(tmp_path / "elsewhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_results_and_results_of_another_run_are_not_drawn(made_up, tmp_path):
    folder = made_up(experiments=("meta_training",))
    path = folder / "meta_training-c.json"
    whole = path.read_text()
    path.write_text(whole[:500])
    with pytest.raises(ResultError, match=r"meta_training-c\.json is truncated"):
        FIGURES["fig3"].draw(folder, tmp_path / "out")
    path.write_text(whole.replace('"tasks": 10', '"tasks": 11'))
    with pytest.raises(ResultError, match=r"meta_training-c\.json was changed after it was written"):
        FIGURES["fig3"].draw(folder, tmp_path / "out")
    path.write_text(whole)
    found, values = results.load(path)
    for group, change, words in (
        ("config", {"evaluation": {**found["config"]["evaluation"], "tasks": 11}}, "evaluation.tasks is 10 there"),
        ("provenance", {"data_digest": "1" * 64}, "data digest is"),
    ):
        results.write(folder, {**found, group: {**found[group], **change}}, values)
        with pytest.raises(ResultError, match=rf"of another run than case a \({words}"):
            FIGURES["fig3"].draw(folder, tmp_path / "out")
    path.write_text(whole)
    other = made_up(dataset="mini-imagenet", experiments=("meta_training",))
    with pytest.raises(ResultError, match="data set mini-imagenet; fig3 is drawn from omniglot or glyphs"):
        FIGURES["fig3"].draw(other, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_matching_figure_is_not_drawn_from_supervised_curves(made_up, tmp_path):
    folder = made_up(experiments=("matching",))
    with pytest.raises(ResultError, match=r"matching-a\.json has no curve of meta_test, head matching, after"):
        FIGURES["fig7"].draw(folder, tmp_path)


def test_what_a_killed_drawing_command_left_is_removed(made_up, tmp_path):
    folder, out = made_up(experiments=("fine_tuning",)), tmp_path / "out"
    process = subprocess.Popen(["true"])
    process.wait()
    dead, alive = (out / f".fig5.pdf.{pid}.0badcafe.tfmeta-tmp" for pid in (process.pid, os.getpid()))
    out.mkdir()
    for path in (dead, alive):
        path.write_bytes(b"half")
    FIGURES["fig5"].draw(folder, out)
    assert {path.name for path in out.iterdir()} == {"fig5.pdf", "fig5.png", alive.name}
