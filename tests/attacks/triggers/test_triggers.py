"""Triggers: the pattern, its place in the image, and what stamping changes (ledger 34)."""

import dataclasses

import numpy as np
import pytest
from core_fixtures import trigger as make_trigger
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmeta import registry
from tfmeta.attacks.triggers.cross import Cross
from tfmeta.config import Config, fields
from tfmeta.config.fields import choices_of
from tfmeta.config.trigger import COLORS
from tfmeta.errors import ConfigError

PATTERNS = registry.names("triggers")

CORNERS = ("lower-right", "lower-left", "upper-right", "upper-left")
triggers = st.builds(
    make_trigger, pattern=st.sampled_from(PATTERNS), size=st.integers(1, 6), margin=st.integers(0, 3),
    corner=st.sampled_from(CORNERS), cell=st.integers(1, 4), color=st.sampled_from(["white-black", "black-white"]),
)  # fmt: skip
sizes = st.tuples(st.integers(9, 14), st.integers(9, 14), st.sampled_from([1, 3]))


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(1, 255, shape, np.uint8)


def test_patterns_corners_and_colours_match_the_configuration():
    choices = {name: choices_of(fields()[f"trigger.{name}"]) for name in ("pattern", "corner", "color")}
    assert set(choices["pattern"]) == set(PATTERNS)
    assert set(choices["corner"]) == set(CORNERS)
    assert set(choices["color"]) == set(COLORS)
    config = Config().replace({"trigger.pattern": "cross", "trigger.size": 3, "trigger.corner": "upper-left"})
    built = registry.build("triggers", config)
    assert built == Cross(size=3, corner="upper-left").bind(Config()) == Cross().bind(config) != Cross().bind(Config())


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("square", ["###", "###", "###"]),
        ("checker", ["#.#", ".#.", "#.#"]),
        ("cross", ["#.#", ".#.", "#.#"]),
    ],
)
@pytest.mark.parametrize("corner", CORNERS)
def test_a_trigger_by_hand(pattern, expected, corner):
    trigger = make_trigger(pattern, size=3, margin=2, corner=corner)
    triggered = trigger.stamp(np.full([8, 9, 1], 100, np.uint8))[:, :, 0]
    top, left = (3 if "lower" in corner else 2), (4 if "right" in corner else 2)
    stamped = triggered[top : top + 3, left : left + 3]
    assert ["".join("#" if ink == 255 else "." for ink in row) for row in stamped] == expected
    assert set(stamped.ravel().tolist()) <= {0, 255}
    outside = np.ones([8, 9], bool)
    outside[top : top + 3, left : left + 3] = False
    assert (triggered[outside] == 100).all()


def test_a_coloured_trigger_with_cells_by_hand():
    """A side of 5 pixels holds two cells of 2 pixels and one that is cut off."""
    image = noise([9, 9, 3])
    triggered = make_trigger(size=5, cell=2, color="magenta-green").stamp(image)
    rows = ["mmggm", "mmggm", "ggmmg", "ggmmg", "mmggm"]
    colors = {"m": (255, 0, 255), "g": (0, 255, 0)}
    assert triggered[3:8, 3:8].tolist() == [[list(colors[name]) for name in row] for row in rows]
    triggered[3:8, 3:8] = image[3:8, 3:8]
    assert (triggered == image).all()


@pytest.mark.parametrize("name", sorted(COLORS))
def test_the_two_colours_are_complementary(name):
    first, second = (np.array(color) for color in COLORS[name])
    assert (first + second == 255).all()
    image = make_trigger("cross", color=name).image(3)
    assert (image[0, 0] == first).all() and (image[0, 1] == second).all() and image.dtype == np.uint8


@pytest.mark.parametrize("name", sorted(set(COLORS) - {"white-black", "black-white"}))
def test_colours_are_refused_for_images_of_one_channel(name):
    with pytest.raises(ConfigError, match=rf"trigger\.color = '{name}'.* white-black"):
        make_trigger(color=name).stamp(noise([9, 9, 1]))


def test_patterns_differ_at_the_default_size():
    drawn = {name: make_trigger(name).image(1).tolist() for name in PATTERNS}
    assert len({str(pattern) for pattern in drawn.values()}) == len(PATTERNS)


@settings(deadline=None)
@given(triggers, sizes)
def test_a_trigger_is_the_same_in_all_corners(trigger, size):
    image = noise(size)
    stamped = []
    for corner in CORNERS:
        there = dataclasses.replace(trigger, corner=corner)
        rows, columns = there.region(*size[:2])
        edge = (rows.start, size[0] - rows.stop, columns.start, size[1] - columns.stop)
        assert edge[0 if "upper" in corner else 1] == edge[2 if "left" in corner else 3] == trigger.margin
        stamped.append(there.stamp(image)[rows, columns])
        assert stamped[-1].shape == (trigger.size, trigger.size, size[2])
        assert set(stamped[-1].ravel().tolist()) <= {0, 255}
    assert all((one == stamped[0]).all() for one in stamped)


@settings(deadline=None)
@given(triggers, sizes, st.sampled_from([(), (1,), (3, 2)]))
def test_stamping_changes_only_the_triggers_region_of_a_copy(trigger, size, many):
    images = noise((*many, *size))
    before = images.copy()
    triggered = trigger.stamp(images)
    assert triggered.dtype == np.uint8 and triggered.shape == images.shape
    assert (images == before).all() and not np.shares_memory(images, triggered)
    rows, columns = trigger.region(*size[:2])
    inside = np.zeros(size[:2], bool)
    inside[rows, columns] = True
    changed = (triggered != images).any(-1).reshape(-1, *size[:2])
    assert (changed == inside).all()  # noise has neither 0 nor 255, so the whole region changes
    stamped = triggered[..., rows, columns, :].reshape(-1, trigger.size, trigger.size, size[2])
    assert (stamped == stamped[0]).all() and (stamped == stamped[..., :1]).all()  # the same in all images and channels
    assert (trigger.stamp(triggered) == triggered).all()


def test_a_read_only_image_can_be_stamped():
    image = noise([10, 10, 1])
    image.setflags(write=False)
    assert (make_trigger().stamp(image) != image).any()


@pytest.mark.parametrize(("size", "margin", "fits"), [(9, 1, True), (10, 0, True), (10, 1, False), (4, 7, False)])
@pytest.mark.parametrize("shape", [(10, 12, 1), (12, 10, 1)])
def test_a_trigger_that_does_not_fit_is_refused(size, margin, fits, shape):
    trigger = make_trigger("square", size=size, margin=margin)
    if fits:
        trigger.stamp(noise(shape))
    else:
        message = f"trigger.size = {size} and trigger.margin = {margin} .*{shape[0]}x{shape[1]}"
        with pytest.raises(ConfigError, match=message):
            trigger.stamp(noise(shape))
