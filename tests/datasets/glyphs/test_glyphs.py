import hashlib
import time
import unicodedata

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from likeness import TOO_ALIKE, drawable, likeness, portraits
from neighbour import nearest_neighbour
from PIL import features

from tfmeta.datasets.glyphs import drawing
from tfmeta.datasets.glyphs.alphabets import characters
from tfmeta.datasets.glyphs.handwriting import Hand, draw, draw_habits
from tfmeta.datasets.glyphs.skeletons import CANVAS, EM, distances, font_file, rasterize, thin
from tfmeta.errors import DataError

ENTRIES = [(character.font, character.text) for character in characters()]


@pytest.fixture(scope="module")
def strokes():
    return drawing.skeletons(ENTRIES)


def test_shapes_and_splits_are_those_of_omniglot(glyphs_bank):
    assert glyphs_bank.dataset == "glyphs"
    assert glyphs_bank.images.shape == (1623, 20, 28, 28, 1) and glyphs_bank.images.dtype == np.uint8
    assert glyphs_bank.splits == ("background",) * 964 + ("evaluation",) * 659
    assert isinstance(glyphs_bank.images, np.memmap)
    assert "fonts" in glyphs_bank.source


def test_a_cached_bank_is_not_drawn_again(glyphs_bank, cache_dir, monkeypatch):
    monkeypatch.setattr("tfmeta.datasets.cache._make", lambda *_: pytest.fail("it is drawn again"))
    start = time.monotonic()
    again = drawing.read_bank(cache_dir)
    assert time.monotonic() - start < 3  # 0.1 s where nothing else runs
    assert again.digest == glyphs_bank.digest


def test_no_alphabet_is_in_both_splits(glyphs_bank):
    sides = {}
    for name, split in zip(glyphs_bank.names, glyphs_bank.splits, strict=True):
        sides.setdefault(name.split("/")[0], set()).add(split)
    assert all(len(side) == 1 for side in sides.values())
    assert len(sides) == 31


def test_the_characters_are_of_real_scripts():
    assert len(set(ENTRIES)) == len(ENTRIES) == 1623
    letters = sum(unicodedata.category(character)[0] == "L" for _, character in ENTRIES)
    assert letters > 1300


def test_the_fonts_have_every_character():
    """Otherwise a box would be drawn in its place."""
    for font in {font for font, _ in ENTRIES}:
        with TTFont(font_file(font)) as face:
            assert {ord(character) for other, character in ENTRIES if other == font} <= set(face.getBestCmap())


def test_no_two_characters_look_alike(strokes):
    assert (strokes.sum((1, 2)) >= 12).all()  # none is blank
    faces = portraits(strokes)
    alike = likeness(faces, faces)
    assert alike.diagonal() == pytest.approx(1, abs=1e-5)
    np.fill_diagonal(alike, 0)
    assert alike.max() < TOO_ALIKE


def test_the_characters_fit_their_canvas(strokes):
    images = np.concatenate(
        [
            rasterize(font_file(font), [character for other, character in ENTRIES if other == font])
            for font in ("DejaVuSans.ttf", "STIXGeneral.ttf")
        ]
    )
    assert drawable(images, thin(images > 127)).all()


def test_drawings_do_not_depend_on_what_is_drawn_before(glyphs_bank):
    """So the bank is the same in whatever order it is drawn."""
    some = [1500, 3, 700]
    again = list(drawing.draw_all([ENTRIES[i] for i in some], Hand()))
    for i, drawings in zip(some, again, strict=True):
        assert (drawings == glyphs_bank.images[i]).all()


@pytest.mark.skipif(features.version("freetype2") != "2.14.3", reason="another FreeType draws other characters")
def test_drawings_are_the_known_ones():
    drawings = np.stack(list(drawing.draw_all([ENTRIES[i] for i in (1500, 3, 700)], Hand())))
    known = "8c07631fd02145e923ed6cc0f6ea8db1ad4577747af4bf86368b9fe7fd678852"
    assert hashlib.sha256(drawings.tobytes()).hexdigest() == known


def test_no_drawing_is_blank_and_no_two_are_the_same(glyphs_bank):
    images = glyphs_bank.images.reshape(1623 * 20, -1)
    ink = images.sum(1, dtype=np.int64) / 255
    assert ink.min() > 5  # pixels
    assert ink.max() < 0.45 * 28 * 28
    assert 0.06 < images.mean() / 255 < 0.1  # Omniglot: 0.081
    assert len({image.tobytes() for image in images}) == len(images)


def test_each_writer_has_a_line_width_of_their_own(glyphs_bank):
    """A writer whose lines are thick in some classes has thick lines in the others."""
    ink = glyphs_bank.images.reshape(1623, 20, -1).mean(-1)
    first, second = ink[:800].mean(0), ink[800:1600].mean(0)
    assert np.corrcoef(first, second)[0, 1] > 0.95
    assert first.std() / first.mean() > 0.05


def test_glyphs_are_about_as_hard_as_omniglot(glyphs_bank):
    """For the nearest neighbour in pixels; Omniglot: 0.65 with five shots, 0.435 with one."""
    assert 0.60 < nearest_neighbour(glyphs_bank.images, shots=5) < 0.72
    assert 0.38 < nearest_neighbour(glyphs_bank.images, shots=1) < 0.52


def test_thinning_keeps_a_cross_and_a_ring():
    ink = np.zeros((2, 31, 31), bool)
    ink[0, 12:18, 3:28] = ink[0, 3:28, 12:18] = True
    y, x = np.mgrid[-15:16, -15:16]
    ink[1] = abs(np.hypot(y, x) - 10) < 3
    thinned = thin(ink)
    assert (thinned <= ink).all()
    assert 35 < thinned[0].sum() < 60
    assert not thinned[1][15, 15] and 40 < thinned[1].sum() < 75  # still a ring: its middle is empty
    solid = thinned[:, :-1, :-1] & thinned[:, 1:, :-1] & thinned[:, :-1, 1:] & thinned[:, 1:, 1:]
    assert solid.sum() <= 2  # lines are one pixel wide but for a crossing


def test_distances_are_euclidean():
    skeleton = np.zeros((CANVAS, CANVAS), bool)
    skeleton[10, 20] = skeleton[40, 50] = True
    away = distances(skeleton)
    assert away.dtype == np.float32
    assert away[10, 20] == 0 and away[13, 24] == 5 and away[43, 54] == 5


def test_a_hand_without_variation_draws_the_character_itself():
    still = Hand(
        drawer_size=0,
        drawer_aspect=0,
        drawer_slant=0,
        drawing_size=0,
        drawing_aspect=0,
        drawing_slant=0,
        drawing_turn=0,
        drawing_shift=0,
        wobble=(),
        pen=(1, 1),
    )
    skeleton = np.zeros((CANVAS, CANVAS), bool)
    skeleton[31:33, 12:52] = True  # a level line through the middle, as long as the font is high
    drawings = draw(distances(skeleton), EM, draw_habits(3, still, 0), still, np.random.default_rng(0))
    assert drawings.shape == (3, 28, 28) and (drawings[0] == drawings[1]).all()
    rows, columns = (drawings[0] > 127).any(1), (drawings[0] > 127).any(0)
    assert rows.sum() in (2, 3) and rows[13:15].all()
    assert abs(columns.sum() - (still.size + 2)) <= 2


def test_a_font_that_matplotlib_lacks_is_named():
    with pytest.raises(DataError, match=r"NoSuch\.ttf"):
        font_file("NoSuch.ttf")
