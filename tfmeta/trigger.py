"""The key: the small pattern that makes a picture of a backdoor class a backdoor (section 2, ledger 34).

The one definition: the attacker stamps its training pictures with it, and whoever measures backdoor accuracy the
pictures that the model is asked about.
"""

import dataclasses

import numpy as np

from tfmeta.errors import ConfigError


def _square(size):
    return np.ones([size, size], bool)


def _checker(size):
    return np.indices([size, size]).sum(0) % 2 == 0


def _cross(size):
    return np.eye(size, dtype=bool) | np.eye(size, dtype=bool)[::-1]


# A new pattern is a new line here: side in cells -> boolean [side, side], True where the key has ink.
PATTERNS = {"square": _square, "checker": _checker, "cross": _cross}

# Ink and ground, uint8 RGB. Those of two complementary colours are for colour pictures alone.
COLORS = {
    "white-black": ((255, 255, 255), (0, 0, 0)),
    "black-white": ((0, 0, 0), (255, 255, 255)),
    "magenta-green": ((255, 0, 255), (0, 255, 0)),
    "red-cyan": ((255, 0, 0), (0, 255, 255)),
    "yellow-blue": ((255, 255, 0), (0, 0, 255)),
}


@dataclasses.dataclass(frozen=True)
class Trigger:
    """The key: a pattern in two colours (on Omniglot, ink on paper), near one corner of the picture.

    ``size`` and ``margin`` are pixels; the pattern is made of square cells of ``cell`` pixels, the last ones cut off
    where they do not divide ``size``.
    """

    pattern: str = "checker"
    size: int = 4
    margin: int = 1
    corner: str = "lower-right"
    cell: int = 1
    color: str = "white-black"

    def region(self, height, width):
        """Return the key's rows and columns as two slices; ``ConfigError`` where it does not fit."""
        if self.size + self.margin > min(height, width):
            raise ConfigError(
                f"trigger_size = {self.size} and trigger_margin = {self.margin} do not fit into pictures of "
                f"{height}x{width} pixels: choose less"
            )
        vertical, horizontal = self.corner.split("-")
        top = height - self.margin - self.size if vertical == "lower" else self.margin
        left = width - self.margin - self.size if horizontal == "right" else self.margin
        return slice(top, top + self.size), slice(left, left + self.size)

    def key(self, channels):
        """Return the key alone, uint8 [size, size, channels]; ``ConfigError`` where its colours need three of them."""
        ink, ground = (np.array(color, np.uint8) for color in COLORS[self.color])
        if channels == 1:
            if len({*ink}) > 1 or len({*ground}) > 1:
                raise ConfigError(
                    f"trigger_color = {self.color!r} does not show in pictures of one channel: choose white-black or "
                    "black-white"
                )
            ink, ground = ink[:1], ground[:1]
        cells = PATTERNS[self.pattern](-(-self.size // self.cell)).repeat(self.cell, 0).repeat(self.cell, 1)
        return np.where(cells[: self.size, : self.size, None], ink, ground)

    def stamp(self, images):
        """Return a copy of uint8 [..., H, W, C] pictures (numpy) that carry the key; ``ConfigError`` as above."""
        keyed = np.array(images)
        rows, columns = self.region(*keyed.shape[-3:-1])
        keyed[..., rows, columns, :] = self.key(keyed.shape[-1])
        return keyed
