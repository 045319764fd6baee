"""`Trigger`: the contract of what an attacker stamps on its training images, and the triggers that are patterns."""

import abc
from typing import ClassVar

import numpy as np

from tfmeta.config.trigger import COLORS
from tfmeta.errors import ConfigError, PluginError
from tfmeta.plugins import Plugin, shared


class Trigger(Plugin):
    """What makes a backdoored model take an image for the target class (section 2)."""

    KIND: ClassVar[str] = "triggers"

    @abc.abstractmethod
    def stamp(self, images: np.ndarray) -> np.ndarray:
        """Return a copy of uint8 [..., H, W, C] images that carry the trigger: the same shape and dtype.

        Raises:
            ConfigError: the trigger does not fit into the images.
        """

    def stamped(self, images: np.ndarray) -> np.ndarray:
        """Return what `stamp` returns if it keeps the contract.

        Raises:
            PluginError: it does not have the images' shape and dtype.
        """
        found = self.stamp(images)
        there, here = (f"{getattr(one, 'dtype', type(one).__name__)} {list(np.shape(one))}" for one in (images, found))
        if not isinstance(found, np.ndarray) or there != here:
            raise PluginError(
                f"the trigger {self.NAME} made {here} of images {there}; its stamp must keep their shape and dtype"
            )
        return found


def tried(trigger: Trigger, image_shape: tuple[int, int, int]) -> float:
    """Stamp a few random images twice; return the share of their pixels that a trigger changes.

    None is allowed: an experiment's control may have a trigger that is not there.

    Args:
        trigger: The trigger, with its options.
        image_shape: (H, W, C).

    Raises:
        ConfigError: the trigger does not fit into the images.
        PluginError: its `stamp` does not keep the contract.
    """
    images = np.random.default_rng(0).integers(0, 256, (2, 3, *image_shape), np.uint8)
    before = images.copy()
    stamped, start = trigger.stamped(images), f"the trigger {trigger.NAME}: stamp"
    if (images != before).any():
        raise PluginError(f"{start} changes the images that it is given: change and return a copy")
    if (trigger.stamped(images) != stamped).any():
        constant = "draw from numpy.random.default_rng(a constant)"
        raise PluginError(f"{start} gives other images the second time: {constant}")
    return float((stamped != before).any(-1).mean())


class PatternTrigger(Trigger):
    """A pattern in two colours near one corner of the image (on Omniglot white is ink; ledger 34).

    It consists of square cells; the last ones are cut off where `cell` does not divide `size`.
    """

    size: int = shared()
    margin: int = shared()
    corner: str = shared()
    cell: int = shared()
    color: str = shared()

    @abc.abstractmethod
    def pattern(self, size: int) -> np.ndarray:
        """Return bool [size, size], one value per cell, True where the pattern has its first colour."""

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
        pattern = self.pattern(-(-self.size // self.cell))
        cells = pattern.repeat(self.cell, 0).repeat(self.cell, 1)
        return np.where(cells[: self.size, : self.size, None], first, second)

    def stamp(self, images: np.ndarray) -> np.ndarray:
        """Return a copy of the images with the pattern in its corner."""
        triggered = np.array(images)
        rows, columns = self.region(*triggered.shape[-3:-1])
        triggered[..., rows, columns, :] = self.image(triggered.shape[-1])
        return triggered
