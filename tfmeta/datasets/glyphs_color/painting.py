"""Turn ink drawings into colour images: paint on a ground with blotches and grain.

A class determines the drawing and, roughly, the two colours; light, contrast and blotches are each image's own. The
numbers of `Palette` were tuned so that the nearest neighbour in pixels is right about as often as on mini-ImageNet.
"""

from dataclasses import dataclass, replace

import numpy as np

from tfmeta.datasets.glyphs.handwriting import blend


@dataclass(frozen=True)
class Palette:
    """A class's colours, and how much its images differ from them (standard deviations; hues in turns)."""

    ground: float = 0.0  # hues
    paint: float = 0.0
    hue: float = 0.15
    light: tuple[float, float] = (0.25, 0.75)  # of the ground
    contrast: tuple[float, float] = (0.20, 0.45)  # between paint and ground
    chroma: tuple[float, float] = (0.05, 0.30)
    knots: int = 5  # of the blotches, along a side
    blotches: float = 0.12
    grain: float = 0.04

    @classmethod
    def of(cls, random: np.random.Generator) -> "Palette":
        """Draw the colours of a class."""
        ground, paint = random.uniform(0, 1, 2)
        return replace(cls(), ground=float(ground), paint=float(paint))


def paint(ink: np.ndarray, palette: Palette, random: np.random.Generator) -> np.ndarray:
    """Colour drawings: uint8 [n, H, W], ink = 255 -> uint8 [n, H, W, 3]."""
    count, side = len(ink), ink.shape[1]
    light = random.uniform(*palette.light, count)
    contrast = random.uniform(*palette.contrast, count)
    darker = random.uniform(0, 1, count) < light  # a light ground is more likely to have dark paint
    ground = _colours(light, palette.ground, palette, random)
    paint = _colours(light + np.where(darker, -contrast, contrast), palette.paint, palette, random)
    cover = ink[:, None].astype(np.float32)
    cover *= np.float32(1 / 255)
    image = cover * (paint - ground)  # [n, 3, H, W]: numpy is slow if the last axis is short
    image += ground
    image += _blotches(count, side, palette, random)
    image += random.standard_normal(cover.shape, np.float32) * np.float32(palette.grain)
    np.clip(image, 0, 1, out=image)
    image *= 255
    return np.moveaxis(np.rint(image, out=image).astype(np.uint8), 1, 3)


def _blotches(count: int, side: int, palette: Palette, random: np.random.Generator) -> np.ndarray:
    """Return smooth random stains, float32 [n, 3, side, side]."""
    knots = palette.knots
    field = random.standard_normal((count, 3, knots, knots), np.float32) * np.float32(palette.blotches)
    return blend(blend(field, side).swapaxes(2, 3), side)


def _colours(light: np.ndarray, hue: float, palette: Palette, random: np.random.Generator) -> np.ndarray:
    """Return one colour per image, float32 [n, 3, 1, 1]: its light, and a hue near the class's."""
    count = len(light)
    turns = hue + random.normal(0, palette.hue, count)
    chroma = random.uniform(*palette.chroma, count)
    wheel = np.cos(2 * np.pi * (turns[:, None] - np.arange(3) / 3))
    return (light[:, None] + chroma[:, None] * wheel)[..., None, None].astype(np.float32)
