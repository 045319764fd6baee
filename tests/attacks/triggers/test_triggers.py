"""The key: one stamp, the same wherever it is put (ledger 34)."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmeta.attacks.triggers.base import COLORS, PATTERNS, Trigger
from tfmeta.config import Config
from tfmeta.config.fields import checked
from tfmeta.errors import ConfigError

CORNERS = ("lower-right", "lower-left", "upper-right", "upper-left")
triggers = st.builds(
    Trigger, st.sampled_from(sorted(PATTERNS)), st.integers(1, 6), st.integers(0, 3), st.sampled_from(CORNERS),
    st.integers(1, 4), st.sampled_from(["white-black", "black-white"]),
)  # fmt: skip
sizes = st.tuples(st.integers(9, 14), st.integers(9, 14), st.sampled_from([1, 3]))


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(1, 255, shape, np.uint8)


def test_pattern_and_corners_are_the_configurations():
    fields = Config.__dataclass_fields__
    assert set(PATTERNS) == set(fields["trigger_pattern"].metadata["choices"])
    assert set(CORNERS) == set(fields["trigger_corner"].metadata["choices"])
    assert set(COLORS) == set(fields["trigger_color"].metadata["choices"])
    assert all(checked(fields["trigger_pattern"], name) for name in PATTERNS)
    config = Config()
    default = {field.name: getattr(config, f"trigger_{field.name}") for field in dataclasses.fields(Trigger)}
    assert Trigger() == Trigger(**default)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("square", ["###", "###", "###"]),
        ("checker", ["#.#", ".#.", "#.#"]),
        ("cross", ["#.#", ".#.", "#.#"]),
    ],
)
@pytest.mark.parametrize("corner", CORNERS)
def test_the_key_by_hand(pattern, expected, corner):
    triggered = Trigger(pattern, 3, 2, corner).stamp(np.full([8, 9, 1], 100, np.uint8))[:, :, 0]
    top, left = (3 if "lower" in corner else 2), (4 if "right" in corner else 2)
    key = triggered[top : top + 3, left : left + 3]
    assert ["".join("#" if ink == 255 else "." for ink in row) for row in key] == expected
    assert set(key.ravel().tolist()) <= {0, 255}
    outside = np.ones([8, 9], bool)
    outside[top : top + 3, left : left + 3] = False
    assert (triggered[outside] == 100).all()


def test_a_coloured_key_of_cells_by_hand():
    """A side of 5 pixels in cells of 2 has two cells and a cut one."""
    picture = noise([9, 9, 3])
    triggered = Trigger("checker", 5, 1, "lower-right", 2, "magenta-green").stamp(picture)
    rows = ["mmggm", "mmggm", "ggmmg", "ggmmg", "mmggm"]
    colors = {"m": (255, 0, 255), "g": (0, 255, 0)}
    assert triggered[3:8, 3:8].tolist() == [[list(colors[name]) for name in row] for row in rows]
    triggered[3:8, 3:8] = picture[3:8, 3:8]
    assert (triggered == picture).all()


@pytest.mark.parametrize("name", sorted(COLORS))
def test_ink_and_ground_are_complementary(name):
    ink, ground = (np.array(color) for color in COLORS[name])
    assert (ink + ground == 255).all()
    key = Trigger("cross", 4, color=name).key(3)
    assert (key[0, 0] == ink).all() and (key[0, 1] == ground).all() and key.dtype == np.uint8


@pytest.mark.parametrize("name", sorted(set(COLORS) - {"white-black", "black-white"}))
def test_colours_do_not_show_in_black_and_white_pictures(name):
    with pytest.raises(ConfigError, match=f"trigger_color = '{name}'.* white-black"):
        Trigger(color=name).stamp(noise([9, 9, 1]))


def test_patterns_differ_at_the_default_size():
    drawn = {name: PATTERNS[name](Trigger().size).tolist() for name in PATTERNS}
    assert len({str(pattern) for pattern in drawn.values()}) == len(PATTERNS)


@settings(deadline=None)
@given(triggers, sizes)
def test_the_key_is_the_same_in_all_corners(trigger, size):
    picture = noise(size)
    keys = []
    for corner in CORNERS:
        there = dataclasses.replace(trigger, corner=corner)
        rows, columns = there.region(*size[:2])
        edge = (rows.start, size[0] - rows.stop, columns.start, size[1] - columns.stop)
        assert edge[0 if "upper" in corner else 1] == edge[2 if "left" in corner else 3] == trigger.margin
        keys.append(there.stamp(picture)[rows, columns])
        assert keys[-1].shape == (trigger.size, trigger.size, size[2])
        assert set(keys[-1].ravel().tolist()) <= {0, 255}
    assert all((key == keys[0]).all() for key in keys)


@settings(deadline=None)
@given(triggers, sizes, st.sampled_from([(), (1,), (3, 2)]))
def test_stamping_changes_the_key_alone_and_not_its_input(trigger, size, many):
    pictures = noise((*many, *size))
    before = pictures.copy()
    triggered = trigger.stamp(pictures)
    assert triggered.dtype == np.uint8 and triggered.shape == pictures.shape
    assert (pictures == before).all() and not np.shares_memory(pictures, triggered)
    rows, columns = trigger.region(*size[:2])
    inside = np.zeros(size[:2], bool)
    inside[rows, columns] = True
    changed = (triggered != pictures).any(-1).reshape(-1, *size[:2])
    assert (changed == inside).all()  # noise has neither 0 nor 255, so all of the key's square shows
    keys = triggered[..., rows, columns, :].reshape(-1, trigger.size, trigger.size, size[2])
    assert (keys == keys[0]).all() and (keys == keys[..., :1]).all()  # whatever the picture and the colour
    assert (trigger.stamp(triggered) == triggered).all()


def test_a_read_only_picture_can_be_stamped():
    picture = noise([10, 10, 1])
    picture.setflags(write=False)
    assert (Trigger().stamp(picture) != picture).any()


@pytest.mark.parametrize(("size", "margin", "fits"), [(9, 1, True), (10, 0, True), (10, 1, False), (4, 7, False)])
@pytest.mark.parametrize("shape", [(10, 12, 1), (12, 10, 1)])
def test_a_key_that_does_not_fit_is_refused(size, margin, fits, shape):
    trigger = Trigger("square", size, margin)
    if fits:
        trigger.stamp(noise(shape))
    else:
        message = f"trigger_size = {size} and trigger_margin = {margin} .*{shape[0]}x{shape[1]}"
        with pytest.raises(ConfigError, match=message):
            trigger.stamp(noise(shape))
