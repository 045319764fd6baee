"""The glyphs data set: a stand-in for Omniglot that is drawn from fonts, for machines without the data.

1623 characters of real scripts (`alphabets`), 20 drawings of each by simulated writers (`handwriting`), in Omniglot's
shapes and splits. It is no substitute in a paper: say so wherever you show such a result.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import features

from tfmeta.datasets import cache
from tfmeta.datasets.glyphs.alphabets import characters
from tfmeta.datasets.glyphs.handwriting import Hand, draw, draw_habits
from tfmeta.datasets.glyphs.skeletons import EM, distances, font_file, rasterize, thin
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.utils import progress

DRAWINGS = 20
SEED = 1


def read_bank(cache_dir: Path, hand: Hand = Hand()) -> ImageBank:  # noqa: B008 - frozen
    """Draw the data set, or open the cache of an earlier drawing: images uint8 [1623, 20, 28, 28, 1].

    The images are the same on every machine with these fonts and this FreeType, both of which identify the cache.
    Raises `DataError` if matplotlib lacks a font, and `StorageError` if the cache cannot be written to.
    """
    classes, identity = characters(), _identity(hand)

    def fill(images: np.ndarray) -> cache.Description:
        drawn = draw_all([(character.font, character.text) for character in classes], hand)
        for image, drawings in zip(images, drawn, strict=True):
            image[:] = drawings
        names, _, splits, _ = zip(*classes, strict=True)
        source = f"drawn from matplotlib's fonts {' and '.join(identity['fonts'])} by {DRAWINGS} simulated writers"
        return cache.Description(names, splits, source)

    shape = (len(classes), DRAWINGS, hand.side, hand.side, 1)
    return cache.fetch(cache_dir, "glyphs", identity, shape, fill)


def outdated(identity: dict[str, Any]) -> str | None:
    """Return why a bank of this identity cannot be opened again, or None (`Dataset.outdated`)."""
    return cache.differs(identity, _identity(Hand()))


def _identity(hand: Hand) -> dict[str, Any]:
    """Return what decides the bank's content."""
    classes = characters()
    fonts = sorted({character.font for character in classes})
    return {
        "seed": SEED,
        "hand": asdict(hand),
        "characters": hashlib.sha256(json.dumps(classes).encode()).hexdigest(),
        "fonts": {font: hashlib.sha256(font_file(font).read_bytes()).hexdigest() for font in fonts},
        "freetype": features.version("freetype2"),
    }


def draw_all(entries: Sequence[tuple[str, str]], hand: Hand) -> Iterator[np.ndarray]:
    """Draw each (font, character), independently of the others, and yield uint8 [DRAWINGS, side, side, 1]."""
    writers = draw_habits(DRAWINGS, hand, SEED)
    with progress.bar(len(entries), "drawing glyphs", "character") as bar:
        for (font, character), skeleton in zip(entries, skeletons(entries), strict=True):
            random = np.random.default_rng([SEED, 1, *font.encode(), ord(character)])
            yield draw(distances(skeleton), EM, writers, hand, random)[..., None]
            bar.update(1)


def skeletons(entries: Sequence[tuple[str, str]]) -> np.ndarray:
    """Return each (font, character) thinned to lines: bool [entry, CANVAS, CANVAS]."""
    images: dict[tuple[str, str], np.ndarray] = {}
    for font in sorted({font for font, _ in entries}):
        wanted = [character for other, character in entries if other == font]
        drawn = rasterize(font_file(font), wanted)
        images |= {(font, character): image for character, image in zip(wanted, drawn, strict=True)}
    return thin(np.stack([images[entry] for entry in entries]) > 127)
