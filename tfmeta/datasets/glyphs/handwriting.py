"""Simulated writers: each draws every character, in its own handwriting, with variation.

A drawing is the character's skeleton seen through a warp (slant, size, turn, wobble) and inked with a pen. Both are
computed for each pixel from the distance to the skeleton, so lines come out smooth.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np


@dataclass(frozen=True)
class Hand:
    """How much writers differ from one another (`drawer_*`), and one writer's drawings do (`drawing_*`)."""

    # Tuned so that the nearest neighbour in pixels is right about as often as on Omniglot. The field names identify
    # cached banks: renaming one would draw all banks again.
    side: int = 28  # pixels of an image
    size: float = 20.0  # pixels of the image for the font's em
    drawer_size: float = 0.12  # standard deviation of the logarithm
    drawer_aspect: float = 0.10
    drawer_slant: float = 0.12  # standard deviation of the shear
    pen: tuple[float, float] = (0.66, 0.96)  # half the width of a line, in pixels, from thinnest to thickest
    drawing_size: float = 0.10
    drawing_aspect: float = 0.12
    drawing_slant: float = 0.12
    drawing_turn: float = 0.10  # radians
    drawing_shift: float = 1.15  # pixels
    wobble: tuple[tuple[int, float], ...] = ((3, 1.05), (6, 0.5))  # knots along a side, standard deviation (pixels)


@dataclass(frozen=True)
class Writers:
    """The habits of a group of writers, float64 [writer] each."""

    size: np.ndarray
    aspect: np.ndarray
    slant: np.ndarray
    pen: np.ndarray


def draw_habits(count: int, hand: Hand, seed: int) -> Writers:
    """Draw the habits of `count` writers at random."""
    random = np.random.default_rng([seed, 0])
    return Writers(
        size=random.normal(0, hand.drawer_size, count),
        aspect=random.normal(0, hand.drawer_aspect, count),
        slant=random.normal(0, hand.drawer_slant, count),
        pen=random.uniform(*hand.pen, count),
    )


def draw(distance: np.ndarray, em: float, writers: Writers, hand: Hand, random: np.random.Generator) -> np.ndarray:
    """Let every writer draw one character: uint8 [writer, side, side], ink = 255.

    `distance`, float32 [S, S], is how far each point of the canvas is from the character's strokes and `em` the font's
    height there, in pixels. `random` is for this character alone, so that characters can be drawn in any order.
    """
    count = len(writers.size)
    matrix, scale = _poses(em, writers, hand, random)
    offset = _wobble(count, hand, random) - random.normal(0, hand.drawing_shift, (2, count, 1, 1)).astype(np.float32)
    grid = np.arange(hand.side, dtype=np.float32) - (hand.side - 1) / 2
    y, x = offset[0] + grid[:, None], offset[1] + grid  # [n, side, side] each, in pixels from the middle
    middle = np.float32((len(distance) - 1) / 2)
    canvas_y, canvas_x = (row[0] * y + row[1] * x + middle for row in matrix)
    away = _sample(distance, canvas_y, canvas_x)
    # a line's edge fades over one pixel, which is the share of the pixel that a straight edge covers
    ink = np.clip(writers.pen.astype(np.float32)[:, None, None] + 0.5 - away * scale, 0, 1)
    return np.rint(ink * 255).astype(np.uint8)


def _poses(em: float, writers: Writers, hand: Hand, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the map from (y, x) on the image to the canvas, [2, 2, n, 1, 1], and their scale, [n, 1, 1]; float32."""
    count = len(writers.size)
    size = np.exp(writers.size + random.normal(0, hand.drawing_size, count)) * hand.size / em
    aspect = np.exp((writers.aspect + random.normal(0, hand.drawing_aspect, count)) / 2)
    slant = writers.slant + random.normal(0, hand.drawing_slant, count)
    turn = random.normal(0, hand.drawing_turn, count)
    cos, sin = np.cos(turn), np.sin(turn)
    tall, wide = 1 / (size * aspect), aspect / size
    matrix = np.array([[tall * cos, tall * sin], [slant * tall * cos - wide * sin, slant * tall * sin + wide * cos]])
    return matrix[..., None, None].astype(np.float32), size[:, None, None].astype(np.float32)


def _wobble(count: int, hand: Hand, random: np.random.Generator) -> np.ndarray:
    """Return smooth random displacements (y, x) of an image's points, in pixels: float32 [2, n, side, side]."""
    total = np.zeros((2, count, hand.side, hand.side), np.float32)
    for knots, deviation in hand.wobble:
        field = random.normal(0, deviation, (2, count, knots, knots)).astype(np.float32)
        total += blend(blend(field, hand.side).swapaxes(2, 3), hand.side).swapaxes(2, 3)
    return total


def blend(field: np.ndarray, side: int) -> np.ndarray:
    """Blend rows of values into `side` rows: float32 [..., knots, columns] -> [..., side, columns]."""
    weights = _smooth(field.shape[-2], side)
    # a matrix product, but summed in a fixed order: that of BLAS differs between machines, and so would the bank
    return sum(weights[:, knot, None] * field[..., knot, None, :] for knot in range(field.shape[-2]))


@lru_cache
def _smooth(knots: int, side: int) -> np.ndarray:
    """Return weights that blend `knots` values into `side` smooth ones: float32 [side, knots], rows sum to 1."""
    position = np.linspace(0, knots - 1, side)
    left = np.minimum(position.astype(int), knots - 2)
    part = position - left
    part = part * part * (3 - 2 * part)
    weights = np.zeros((side, knots), np.float32)
    weights[np.arange(side), left] = 1 - part
    weights[np.arange(side), left + 1] = part
    return weights


def _sample(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Look up float32 [S, S] at (y, x) of any one shape, bilinear; points outside are moved to the edge."""
    side = len(image)
    y, x = np.clip(y, 0, side - 1.001), np.clip(x, 0, side - 1.001)
    row, column = y.astype(np.int32), x.astype(np.int32)
    y, x = y - row.astype(np.float32), x - column.astype(np.float32)
    at = row * side + column
    flat = image.ravel()
    top = flat[at] * (1 - x) + flat[at + 1] * x
    bottom = flat[at + side] * (1 - x) + flat[at + side + 1] * x
    return top * (1 - y) + bottom * y
