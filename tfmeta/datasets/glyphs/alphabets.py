"""The characters of the glyphs data set, read from alphabets.json, which says how they were chosen."""

import functools
import json
from pathlib import Path
from typing import NamedTuple

SPLITS = ("background", "evaluation")


class Character(NamedTuple):
    """One class: a character in one font."""

    name: str  # alphabet and code point, such as "Greek/03DF"
    font: str  # a font file that matplotlib carries
    split: str  # one of `SPLITS`
    text: str  # the character itself


@functools.cache
def characters() -> tuple[Character, ...]:
    """Return all 1623 classes in the bank's order; those of the background split come first."""
    alphabets = json.loads(Path(__file__).with_name("alphabets.json").read_text(encoding="utf-8"))["alphabets"]
    return tuple(
        Character(f"{alphabet['name']}/{int(code, 16):04X}", alphabet["font"], split, chr(int(code, 16)))
        for split in SPLITS
        for alphabet in alphabets
        if alphabet["split"] == split
        for code in alphabet["characters"]
    )
