"""The glyphs-color data set: a stand-in for mini-ImageNet that is drawn from a font, for machines without the photos.

A class is a letter (`glyphs.handwriting`) of any size and place, on a ground with blotches (`painting`). It is no
substitute in a paper: say so wherever you show such a result.
"""

import dataclasses
import hashlib
import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
from PIL import features

from tfmeta.datasets import cache
from tfmeta.datasets.glyphs.alphabets import characters
from tfmeta.datasets.glyphs.drawing import skeletons
from tfmeta.datasets.glyphs.handwriting import Hand, Writers, draw, draw_habits
from tfmeta.datasets.glyphs.skeletons import distances, font_file
from tfmeta.datasets.glyphs_color.painting import Palette, paint
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.utils.parallel import in_threads

SIDE, IMAGES, SEED = 84, 600, 1
FONT = "DejaVuSans.ttf"
SPLITS = ("train",) * 64 + ("val",) * 16 + ("test",) * 20
# The reserved classes (ledger 14): two of the training split that do not look alike.
BACKDOOR, TARGET = "Greek/03DF", "Cyrillic/042E"
_CHUNK = 25  # images drawn at once: more take more memory, fewer take more calls of numpy
# Here `size` is that of the letter itself, its larger side.
HAND = Hand(
    side=SIDE, size=44, drawer_size=0.10, pen=(2.0, 4.5), drawing_size=0.16, drawing_aspect=0.12, drawing_slant=0.15,
    drawing_turn=0.15, drawing_shift=6, wobble=((4, 3.2),),
)  # fmt: skip


def letters() -> list[tuple[str, str]]:
    """Return (name, character) of all classes in the bank's order, spread over the letters of the glyphs data set."""
    in_font = [(character.name, character.text) for character in characters() if character.font == FONT]
    usable = [(name, text) for name, text in in_font if unicodedata.category(text)[0] == "L"]
    return usable[:: len(usable) // len(SPLITS)][: len(SPLITS)]


def read_bank(cache_dir: Path, hand: Hand = HAND, images_per_class: int = IMAGES) -> ImageBank:
    """Draw the data set, or open the cache of an earlier drawing: uint8 [100, images_per_class, 84, 84, 3].

    The images are the same on every machine with this font and this FreeType, both of which identify the cache.
    Raises `DataError` if matplotlib lacks the font, and `StorageError` if the cache cannot be written to.
    """
    classes = letters()

    def fill(images: np.ndarray) -> cache.Description:
        draw_all(images, [character for _, character in classes], hand)
        names, source = tuple(name for name, _ in classes), f"drawn in colour from matplotlib's font {FONT}"
        return cache.Description(names, SPLITS, source)

    shape = (len(classes), images_per_class, SIDE, SIDE, 3)
    return cache.fetch(cache_dir, "glyphs-color", _identity(hand), shape, fill)


def outdated(identity: dict[str, Any]) -> str | None:
    """Return why a bank of this identity cannot be opened again, or None (`Dataset.outdated`)."""
    return cache.differs(identity, {**_identity(HAND), "shape": (len(letters()), IMAGES, SIDE, SIDE, 3)})


def _identity(hand: Hand) -> dict[str, Any]:
    """Return what decides the bank's content, beside its shape."""
    return {
        "seed": SEED,
        "hand": dataclasses.asdict(hand),
        "palette": dataclasses.asdict(Palette()),
        "characters": hashlib.sha256(json.dumps(letters()).encode()).hexdigest(),
        "font": hashlib.sha256(font_file(FONT).read_bytes()).hexdigest(),
        "freetype": features.version("freetype2"),
    }


def _centred(skeleton: np.ndarray) -> tuple[np.ndarray, float]:
    """Move a letter to the middle of its canvas; also return its larger side."""
    points = np.argwhere(skeleton)
    low, high = points.min(0), points.max(0)
    shift = (np.array(skeleton.shape) - 1 - low - high) // 2
    return np.roll(skeleton, shift, (0, 1)), float((high - low).max() + 1)


def draw_all(images: np.ndarray, characters: list[str], hand: Hand = HAND) -> None:
    """Draw each character as often as there is room in `images`, uint8 [character, example, SIDE, SIDE, 3]."""
    lines = skeletons([(FONT, character) for character in characters])
    writers = draw_habits(IMAGES, hand, SEED)
    examples = images.shape[1]

    def work(row: int, first: int) -> int:
        last = min(first + _CHUNK, examples)
        some = Writers(**{name: habit[first:last] for name, habit in vars(writers).items()})
        path = [SEED, 2, ord(characters[row])]
        skeleton, size = _centred(lines[row])
        ink = draw(distances(skeleton), size, some, hand, np.random.default_rng([*path, first]))
        palette = Palette.of(np.random.default_rng(path))
        images[row, first:last] = paint(ink, palette, np.random.default_rng([*path, first, 1]))
        return last - first

    jobs = [(row, first) for row in range(len(characters)) for first in range(0, examples, _CHUNK)]
    in_threads(work, jobs, len(characters) * examples, "drawing glyphs in colour", "image")
