import hashlib
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from neighbour import nearest_neighbour
from PIL import features

from tfmeta.datasets import open_dataset
from tfmeta.datasets.glyphs.skeletons import font_file
from tfmeta.datasets.glyphs_color import drawing
from tfmeta.datasets.glyphs_color.drawing import (
    BACKDOOR,
    FONT,
    HAND,
    IMAGES,
    SPLITS,
    TARGET,
    draw_all,
    letters,
    read_bank,
)
from tfmeta.datasets.glyphs_color.painting import Palette, paint

FEW = 25  # images per class: drawing all 600 takes half a minute


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return read_bank(tmp_path_factory.mktemp("cache"), HAND, FEW)


def test_shapes_and_splits_are_those_of_mini_imagenet(bank):
    assert bank.dataset == "glyphs-color" and IMAGES == 600
    assert bank.images.shape == (100, FEW, 84, 84, 3) and bank.images.dtype == np.uint8
    assert isinstance(bank.images, np.memmap)
    assert [bank.splits.count(split) for split in ("train", "val", "test")] == [64, 16, 20]
    assert bank.splits == SPLITS and "font" in bank.source
    for name in (BACKDOOR, TARGET):
        assert bank.splits[bank.names.index(name)] == "train"


def test_all_classes_are_letters_of_the_font():
    characters = [character for _, character in letters()]
    assert len(set(characters)) == 100
    assert all(unicodedata.category(character)[0] == "L" for character in characters)
    with TTFont(font_file(FONT)) as face:
        assert set(map(ord, characters)) <= set(face.getBestCmap())


def test_an_image_depends_on_its_class_and_number_alone(bank):
    again = np.zeros((2, FEW + 5, 84, 84, 3), np.uint8)
    draw_all(again, [letters()[row][1] for row in (70, 3)])
    assert (again[0, :FEW] == bank.images[70]).all() and (again[1, :FEW] == bank.images[3]).all()
    assert again[:, FEW:].any((2, 3, 4)).all()


@pytest.mark.skipif(features.version("freetype2") != "2.14.3", reason="another FreeType draws other characters")
def test_images_are_the_known_ones(bank):
    known = "31856eedab241af40cc9aafd35cd809a11f7a54e57a9bb9924a502478d6c4242"
    assert hashlib.sha256(bank.images[[70, 3]].tobytes()).hexdigest() == known


def test_no_two_images_are_the_same_and_none_is_blank(bank):
    images = bank.images.reshape(100 * FEW, -1)
    assert len({image.tobytes() for image in images}) == len(images)
    assert images.std(1).min() > 8
    assert 90 < images.mean() < 165  # neither dark nor bright
    assert ((images == 0) | (images == 255)).mean() < 0.12  # little is cut off


def test_every_letter_is_large_and_inside_the_image(monkeypatch):
    """All are about equally large and centred, whatever their size in the font."""
    monkeypatch.setattr(drawing, "paint", lambda ink, palette, random: np.repeat(ink[..., None], 3, -1))
    images = np.zeros((100, 8, 84, 84, 3), np.uint8)
    draw_all(images, [character for _, character in letters()])
    ink = images[..., 0] > 127
    sides = np.maximum(ink.any(2).sum(-1), ink.any(3).sum(-1))
    assert np.median(sides) == pytest.approx(48, abs=6)
    assert np.median(sides, 1).min() > 30 and sides.min() > 15
    y, x = np.nonzero(ink.any((0, 1)))
    assert abs(y.mean() - 41.5) < 5 and abs(x.mean() - 41.5) < 5


def test_a_class_determines_its_colours_only_roughly():
    ink = np.zeros((200, 84, 84), np.uint8)
    ink[:, 30:50, 30:50] = 255
    red, blue = Palette(ground=0.0, paint=1 / 3), Palette(ground=2 / 3, paint=1 / 3)
    one, other = (paint(ink, palette, np.random.default_rng(1)).astype(float) for palette in (red, blue))
    for images, channel in ((one, 0), (other, 2)):
        ground = images[:, :20].mean((1, 2))
        share = (ground.argmax(1) == channel).mean()
        assert 0.6 < share < 0.95
        contrast = np.abs(images[:, 30:50, 30:50].mean((1, 2)) - ground).max(1)
        assert (contrast > 15).mean() > 0.98  # the letter can be seen


@pytest.mark.slow
def test_glyphs_color_is_about_as_hard_as_mini_imagenet(bank):
    """For the nearest neighbour in pixels; mini-ImageNet: 0.31 with five shots, 0.26 with one."""
    assert 0.27 < nearest_neighbour(bank.images, shots=5, episodes=400) < 0.36
    assert 0.22 < nearest_neighbour(bank.images, shots=1, episodes=400) < 0.32


def test_a_cached_bank_is_not_drawn_again(bank, monkeypatch):
    cache = Path(bank.images.filename).parents[1]
    monkeypatch.setattr(drawing, "draw_all", None)
    assert read_bank(cache, HAND, FEW).digest == bank.digest


def test_open_dataset_opens_it_by_name(bank, monkeypatch):
    monkeypatch.setattr(drawing, "read_bank", lambda folder: (folder, bank)[1])
    assert open_dataset("glyphs-color", cache_dir="unused") is bank
