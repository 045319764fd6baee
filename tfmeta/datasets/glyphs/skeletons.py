"""Characters of a font as lines one pixel wide (skeletons), which the simulated writers draw with their own pens."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tfmeta.errors import DataError

CANVAS = 64  # side of the square that a character is drawn on
EM = 40  # height of the font on it: the tallest characters in use just fit


def font_file(name: str) -> Path:
    """Return where matplotlib keeps one of its fonts, or raise `DataError` if it does not have it."""
    import matplotlib  # here, since it is slow to import

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    if not path.is_file():
        raise DataError(f"the font {name} is not among matplotlib's (in {path.parent}); reinstall matplotlib")
    return path


def rasterize(font: Path, characters: Sequence[str]) -> np.ndarray:
    """Draw each character at its size in the middle of its own canvas: uint8 [character, CANVAS, CANVAS], ink = 255."""
    face = ImageFont.truetype(str(font), EM, layout_engine=ImageFont.Layout.BASIC)
    images = np.zeros((len(characters), CANVAS, CANVAS), np.uint8)
    for image, character in zip(images, characters, strict=True):
        left, top, right, bottom = face.getbbox(character)
        canvas = Image.new("L", (CANVAS, CANVAS))
        corner = ((CANVAS - left - right) // 2, (CANVAS - top - bottom) // 2)
        ImageDraw.Draw(canvas).text(corner, character, fill=255, font=face)
        image[:] = np.asarray(canvas)
    return images


def thin(ink: np.ndarray) -> np.ndarray:
    """Thin strokes to lines of one pixel: bool [n, H, W] -> bool [n, H, W] (Zhang and Suen, CACM 27(3), 1984)."""
    skeletons = ink.copy()
    busy = np.arange(len(ink))  # images that are not finished
    while len(busy):
        before = skeletons[busy]
        after = _peel(_peel(before, first=True), first=False)
        skeletons[busy] = after
        busy = busy[(before != after).any((1, 2))]
    return skeletons


def _peel(ink: np.ndarray, first: bool) -> np.ndarray:
    """Do one of the two half steps: remove border pixels of the lower right (first) or the upper left."""
    p = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    north, south, west, east = p[:, :-2, 1:-1], p[:, 2:, 1:-1], p[:, 1:-1, :-2], p[:, 1:-1, 2:]
    ring = (north, p[:, :-2, 2:], east, p[:, 2:, 2:], south, p[:, 2:, :-2], west, p[:, :-2, :-2])
    neighbours = np.zeros(ink.shape, np.uint8)
    rises = np.zeros(ink.shape, np.uint8)
    for here, following in zip(ring, ring[1:] + ring[:1], strict=True):
        neighbours += here
        rises += ~here & following
    border = ink & (neighbours >= 2) & (neighbours <= 6) & (rises == 1)
    if first:
        border &= ~(north & east & south) & ~(east & south & west)
    else:
        border &= ~(north & east & west) & ~(north & south & west)
    return ink & ~border


def distances(skeleton: np.ndarray) -> np.ndarray:
    """Return how far each pixel is from the skeleton, in pixels: bool [H, W] -> float32 [H, W]."""
    height, width = skeleton.shape
    ys, xs = np.nonzero(skeleton)
    if not len(ys):
        return np.full(skeleton.shape, height + width, np.float32)
    rows = (np.arange(height, dtype=np.float32)[:, None] - ys.astype(np.float32)) ** 2  # [H, points]
    columns = (np.arange(width, dtype=np.float32)[:, None] - xs.astype(np.float32)) ** 2  # [W, points]
    return np.sqrt((rows[:, None, :] + columns[None, :, :]).min(-1))
