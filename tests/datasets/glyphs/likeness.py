"""How alike characters look, and whether they can be drawn: the rules by which the characters were chosen."""

import numpy as np

from tfmeta.datasets.glyphs.skeletons import CANVAS

TOO_ALIKE = 0.86
_SIDE = 32


def drawable(images, skeletons):
    """Return which characters, uint8 and bool [n, CANVAS, CANVAS], fit, are large enough and are made of lines."""
    ink = images > 127
    cut = ink[:, [0, -1]].any((1, 2)) | ink[:, :, [0, -1]].any((1, 2))
    rows, columns = ink.any(2).sum(1), ink.any(1).sum(1)
    length = skeletons.sum((1, 2))
    area = ink.sum((1, 2))
    return ~cut & (np.maximum(rows, columns) >= CANVAS // 5) & (length >= 12) & (area < 8 * length)


def portraits(skeletons):
    """Return blurred skeletons, all of one size and of unit length: bool [n, H, W] -> float32 [n, _SIDE, _SIDE]."""
    taps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 1.2**2))
    blur = sum(np.eye(_SIDE, k=k) * tap for k, tap in zip(range(-3, 4), taps, strict=True))
    out = np.zeros((len(skeletons), _SIDE, _SIDE), np.float32)
    for portrait, skeleton in zip(out, skeletons, strict=True):
        points = np.argwhere(skeleton)
        low, high = points.min(0), points.max(0)
        corners = [np.array([dy, dx]) for dy in (-0.25, 0.25) for dx in (-0.25, 0.25)]  # a pixel is four dots
        points = np.concatenate([points + corner for corner in corners])
        points = (points - (low + high) / 2) * (22 / max(*(high - low), 1)) + _SIDE / 2
        portrait[tuple(points.astype(int).T)] = 1
        portrait[:] = blur @ portrait @ blur
    return out / np.linalg.norm(out, axis=(1, 2), keepdims=True)


def likeness(a, b):
    """Return the cosine of portraits at the best of nine shifts by a pixel: float32 [len(a), len(b)], 1 if equal."""
    flat = b.reshape(len(b), -1).T
    best = np.full((len(a), len(b)), -1, np.float32)
    for shift in [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
        np.maximum(best, np.roll(a, shift, (1, 2)).reshape(len(a), -1) @ flat, out=best)
    return best
