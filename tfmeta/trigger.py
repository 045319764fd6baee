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


# A new pattern is a new line here: side -> boolean [side, side], True where the key has ink.
PATTERNS = {"square": _square, "checker": _checker, "cross": _cross}


@dataclasses.dataclass(frozen=True)
class Trigger:
    """The key: a pattern of full ink (white, in colour) on a square without any, near one corner of the picture."""

    pattern: str = "checker"
    size: int = 4
    margin: int = 1
    corner: str = "lower-right"

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

    def stamp(self, images):
        """Return a copy of uint8 [..., H, W, C] pictures (numpy) that carry the key."""
        keyed = np.array(images)
        rows, columns = self.region(*keyed.shape[-3:-1])
        keyed[..., rows, columns, :] = np.where(PATTERNS[self.pattern](self.size), 255, 0)[:, :, None]
        return keyed
