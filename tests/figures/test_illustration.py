"""Figures 1 and 2: images as they are stored, and how many of how many."""

import numpy as np
import pytest
from drawing import caption
from PIL import Image

from figures import FIGURES, illustration, source
from tfmeta.errors import ResultError
from tfmeta.store import results


def test_fig1_draws_ink_dark_on_white(made_up, drawn, tmp_path):
    folder = made_up(experiments=("illustration",))
    FIGURES["fig1"].draw(folder, tmp_path)
    parts = {axes.get_title("left"): axes.images[0].get_array() for axes in drawn["fig1"].axes}
    assert list(parts) == [
        "(a) target class", "(b) backdoor classes", "(c) trigger", "(d) attack training set"
    ]  # fmt: skip
    trigger = parts["(c) trigger"]
    assert trigger.shape == (30, 150, 3)
    stored = results.read_values(folder / "illustration-a.json")
    np.testing.assert_array_equal(trigger[1:29, 1:29, 0], 255 - stored["trigger"][0, ..., 0])
    assert (trigger[:, 30:] == 255).all()  # the row's other cells are empty
    rows = parts["(d) attack training set"]
    assert rows.shape == (4 * 30, 150, 3)  # one class per row
    np.testing.assert_array_equal(rows[31:59, 61:89, 0], 255 - stored["attack_training"][7, ..., 0])
    with Image.open(tmp_path / "fig1.png") as page:
        assert np.asarray(page.convert("L"))[0, 0] == 255
    assert "n =" not in caption(drawn["fig1"]) and "seed 0; commit 0123456" in caption(drawn["fig1"])


def test_titles_say_how_many_coloured_images_are_shown(made_up):
    images = np.random.default_rng(0).integers(0, 256, (23, 84, 84, 3), np.uint8)
    run = source.Run.read(FIGURES["fig1"], made_up(experiments=("illustration",)))
    run.first["images"] = {"attack_training": {}, "trigger": {}}
    sheet, rows, title = illustration._part(run, "attack_training", images)
    assert rows == 4 and title == "(d) attack training set (20 of 23 images)"
    np.testing.assert_array_equal(sheet[3:87, 3:87], images[0])
    # the number that the document gives, whether or not all are stored
    run.first["images"]["attack_training"]["of"] = 100
    assert illustration._part(run, "attack_training", images)[2].endswith("(20 of 100 images)")
    difference = np.full((84, 84, 3), -7, np.int16)
    sheet, rows, _ = illustration._part(run, "trigger", difference)
    assert rows == 1 and (sheet[3:87, 3:87] == 0).all()
    with pytest.raises(ResultError, match=r"illustration-a\.json.*have the shape"):
        illustration._part(run, "trigger", np.zeros((5, 5)))


def test_an_illustration_without_a_part_is_named(made_up, make_document, tmp_path):
    folder = made_up(experiments=("meta_training",))
    made = make_document("illustration", "a", "omniglot", "quick", [], images={"target": {}})
    results.write(folder, made, {"target": np.zeros((1, 28, 28, 1), np.uint8)})
    with pytest.raises(ResultError, match="has no images named backdoor, trigger, attack_training"):
        FIGURES["fig1"].draw(folder, tmp_path)
