"""The glyphs data set: a stand-in for Omniglot that is drawn on the spot, for machines that have no data.

1623 characters of real scripts from fonts that matplotlib carries (`glyph_alphabets`), 20 drawings each, by seeded
drawers (`drawers`). The same shapes and splits as Omniglot. It is no substitute in a paper: whoever shows a result on
it says so.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import features

from tfmeta.datasets import cache
from tfmeta.datasets.glyphs.alphabets import ALPHABETS
from tfmeta.datasets.glyphs.handwriting import Hand, draw, hire
from tfmeta.datasets.glyphs.skeletons import EM, distances, font_file, rasterize, thin
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.utils import progress

DRAWINGS = 20
SEED = 1

SPLITS = ("background", "evaluation")


def characters() -> list[tuple[str, str, str, str]]:
    """All classes in the bank's order: (name, font, split, character); background comes first."""
    return [
        (f"{alphabet.name}/{ord(character):04X}", alphabet.font, alphabet.split, character)
        for split in SPLITS
        for alphabet in ALPHABETS
        if alphabet.split == split
        for character in alphabet.characters
    ]


def read_bank(cache_dir: Path, hand: Hand = Hand()) -> ImageBank:  # noqa: B008 - frozen
    """Draw the data set, or open the cache of an earlier drawing: images uint8 [1623, 20, 28, 28, 1].

    The same pictures on every machine with these fonts and this FreeType, which are part of the cache's key. Raises
    `DataError` where matplotlib lacks a font, `StorageError` where the cache cannot be written to.
    """
    classes = characters()
    identity = {
        "seed": SEED,
        "hand": asdict(hand),
        "characters": hashlib.sha256(json.dumps(classes).encode()).hexdigest(),
        "fonts": {font: hashlib.sha256(font_file(font).read_bytes()).hexdigest() for font in _fonts()},
        "freetype": features.version("freetype2"),
    }

    def fill(images: np.ndarray) -> cache.Description:
        drawing = draw_all([(font, character) for _, font, _, character in classes], hand)
        for image, drawings in zip(images, drawing, strict=True):
            image[:] = drawings
        return cache.Description(
            names=tuple(name for name, *_ in classes),
            splits=tuple(split for _, _, split, _ in classes),
            source=f"drawn from matplotlib's fonts {' and '.join(_fonts())} by {DRAWINGS} seeded drawers",
        )

    shape = (len(classes), DRAWINGS, hand.side, hand.side, 1)
    return cache.fetch(cache_dir, "glyphs", identity, shape, fill)


def draw_all(entries: list[tuple[str, str]], hand: Hand):
    """Draw each (font, character): yields uint8 [DRAWINGS, side, side, 1].

    A character's drawings depend on the font, the character and the seed alone.
    """
    drawers = hire(DRAWINGS, hand, SEED)
    with progress.bar(len(entries), "drawing glyphs", "characters") as bar:
        for (font, character), skeleton in zip(entries, skeletons(entries), strict=True):
            random = np.random.default_rng([SEED, 1, *font.encode(), ord(character)])
            yield draw(distances(skeleton), EM, drawers, hand, random)[..., None]
            bar.update(1)


def skeletons(entries: list[tuple[str, str]]) -> np.ndarray:
    """The thinned characters, before any drawer touches them: bool [entry, CANVAS, CANVAS]."""
    pictures: dict[tuple[str, str], np.ndarray] = {}
    for font in sorted({font for font, _ in entries}):
        wanted = [character for other, character in entries if other == font]
        drawn = rasterize(font_file(font), wanted)
        pictures |= {(font, c): picture for c, picture in zip(wanted, drawn, strict=True)}
    return thin(np.stack([pictures[entry] for entry in entries]) > 127)


def _fonts() -> list[str]:
    return sorted({alphabet.font for alphabet in ALPHABETS})
