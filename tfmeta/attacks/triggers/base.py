"""`Trigger`: the small pattern that an attacker stamps on its training images (section 2, ledger 34)."""

import dataclasses

import numpy as np

from tfmeta import registry
from tfmeta.config import Config
from tfmeta.config.trigger import COLORS, TriggerConfig
from tfmeta.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trigger(TriggerConfig):
    """A pattern in two colours near one corner of the image (on Omniglot white is ink).

    Its fields are those of the configuration. It consists of square cells; the last ones are cut off where `cell` does
    not divide `size`.
    """

    @classmethod
    def of(cls, config: Config) -> "Trigger":
        """Return the trigger of a configuration."""
        return cls(**dataclasses.asdict(config.trigger))

    def region(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the trigger's rows and columns in an image of `height` x `width` pixels.

        Raises:
            ConfigError: the trigger does not fit into the image.
        """
        if self.size + self.margin > min(height, width):
            raise ConfigError(
                f"trigger.size = {self.size} and trigger.margin = {self.margin} do not fit into images of "
                f"{height}x{width} pixels: choose smaller values"
            )
        vertical, horizontal = self.corner.split("-")
        top = height - self.margin - self.size if vertical == "lower" else self.margin
        left = width - self.margin - self.size if horizontal == "right" else self.margin
        return slice(top, top + self.size), slice(left, left + self.size)

    def image(self, channels: int) -> np.ndarray:
        """Return the trigger alone, uint8 [size, size, channels].

        Raises:
            ConfigError: the colours need three channels and the images have one.
        """
        first, second = (np.array(color, np.uint8) for color in COLORS[self.color])
        if channels == 1:
            if len({*first}) > 1 or len({*second}) > 1:
                raise ConfigError(
                    f"trigger.color = {self.color!r} does not show in images of one channel: choose white-black or "
                    "black-white"
                )
            first, second = first[:1], second[:1]
        pattern = registry.load("triggers", self.pattern).pattern(-(-self.size // self.cell))
        cells = pattern.repeat(self.cell, 0).repeat(self.cell, 1)
        return np.where(cells[: self.size, : self.size, None], first, second)

    def stamp(self, images: np.ndarray) -> np.ndarray:
        """Return a copy of uint8 [..., H, W, C] images that carry the trigger.

        Raises:
            ConfigError: the trigger does not fit into the images.
        """
        triggered = np.array(images)
        rows, columns = self.region(*triggered.shape[-3:-1])
        triggered[..., rows, columns, :] = self.image(triggered.shape[-1])
        return triggered
