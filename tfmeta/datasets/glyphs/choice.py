"""How the characters of the glyphs data set were chosen; `python -m tfmeta.datasets.glyphs.choice` prints them again.

The choice is kept in `glyph_alphabets.py`, so that the classes do not hang on a version of FreeType. Characters are
taken in a fixed order (letters before accented letters before signs, one font before the other) where they are not
too like any taken before; likeness is the cosine of the blurred skeletons, both brought to one size.
"""

import sys
import textwrap
import unicodedata
from collections import defaultdict

import numpy as np

from tfmeta.datasets.glyphs.skeletons import CANVAS, font_file, rasterize, thin

FONTS = ("DejaVuSans.ttf", "STIXGeneral.ttf")
CLASSES = 1623
BACKGROUND = 964
TOO_LIKE = 0.86
_KINDS = ("Lu", "Ll", "Lt", "Lo", "Nd", "Nl", "Sm", "Sc")
_PASS_OVER = ("MATHEMATICAL BOLD", "MATHEMATICAL SANS-SERIF", "MATHEMATICAL MONOSPACE", "HALFWIDTH", "FULLWIDTH")
_SCRIPTS = {
    "Nko": "N_Ko",
    "Old": "Old_Italic",
    "Canadian": "Canadian_Aboriginal",
}
_SCRIPTS |= {
    word: word
    for word in (
        "Latin",
        "Greek",
        "Cyrillic",
        "Armenian",
        "Hebrew",
        "Arabic",
        "Lao",
        "Georgian",
        "Ogham",
        "Tifinagh",
        "Coptic",
        "Lisu",
    )
}
_SIDE = 32


def candidates(font: str) -> list[str]:
    """The characters of a font that could be classes, best first."""
    from fontTools.ttLib import TTFont

    with TTFont(font_file(font)) as face:
        characters = [chr(code) for code in face.getBestCmap()]
    usable = [
        c
        for c in characters
        if unicodedata.category(c) in _KINDS and not unicodedata.name(c, *_PASS_OVER[:1]).startswith(_PASS_OVER)
    ]
    return sorted(usable, key=lambda c: (_rank(c), ord(c)))


def _rank(character: str) -> int:
    """Order of taking: 0 letters and digits, 1 accented letters, 2 signs."""
    if unicodedata.category(character)[0] not in "LN":
        return 2
    parts = unicodedata.decomposition(character)
    return 1 if parts and not parts.startswith("<") else 0


def drawable(pictures: np.ndarray, skeletons: np.ndarray) -> np.ndarray:
    """Which characters (uint8 and bool [n, CANVAS, CANVAS]) fit, are large enough, and are made of lines: bool [n]."""
    ink = pictures > 127
    cut = ink[:, [0, -1]].any((1, 2)) | ink[:, :, [0, -1]].any((1, 2))
    rows, columns = ink.any(2).sum(1), ink.any(1).sum(1)
    length = skeletons.sum((1, 2))
    area = ink.sum((1, 2))
    return ~cut & (np.maximum(rows, columns) >= CANVAS // 5) & (length >= 12) & (area < 8 * length)


def portraits(skeletons: np.ndarray) -> np.ndarray:
    """Blurred skeletons, all of one size and of unit length: bool [n, H, W] -> float32 [n, _SIDE, _SIDE]."""
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


def likeness(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of portraits at the best of nine shifts by a pixel: float32 [len(a), len(b)], 1 for equal ones."""
    flat = b.reshape(len(b), -1).T
    shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    best = np.full((len(a), len(b)), -1, np.float32)
    for shift in shifts:
        np.maximum(best, np.roll(a, shift, (1, 2)).reshape(len(a), -1) @ flat, out=best)
    return best


def choose() -> list[tuple[str, str]]:
    """Return (font, character) of all that are unlike one another, best first."""
    entries, skeletons = [], []
    for font in FONTS:
        characters = candidates(font)
        pictures = rasterize(font_file(font), characters)
        lines = thin(pictures > 127)
        good = drawable(pictures, lines)
        entries += [(font, c) for c, keep in zip(characters, good, strict=True) if keep]
        skeletons.append(lines[good])
    faces = portraits(np.concatenate(skeletons))
    alike = likeness(faces, faces)
    chosen: list[int] = []
    for i in sorted(range(len(entries)), key=lambda i: _rank(entries[i][1])):  # stable: one font, then the other
        if not chosen or alike[i, chosen].max() < TOO_LIKE:
            chosen.append(i)
    return [entries[i] for i in chosen]


def alphabet(font: str, character: str) -> str:
    """Name the alphabet of a character, by the first words of its Unicode name."""
    words = unicodedata.name(character).replace("-", " ").title().split()
    if words[0] == "Mathematical" and _rank(character) < 2:
        name = f"Mathematical_{words[1]}"
    elif _rank(character) == 2:
        name = "Signs"
    elif words[0] not in _SCRIPTS:
        name = "Letterlike"
    else:
        name = _SCRIPTS[words[0]] + ("_Accented" if _rank(character) else "")
    return name if font == FONTS[0] else f"{name}_STIX"


def grouped(chosen: list[tuple[str, str]]) -> dict[tuple[str, str], list[int]]:
    """Sort (font, character) into alphabets: (name, font) -> code points; alphabets of under five join Letterlike."""
    groups = defaultdict(list)
    for font, character in chosen:
        groups[alphabet(font, character), font].append(ord(character))
    for name, font in [key for key, codes in groups.items() if len(codes) < 5]:
        rest = "Letterlike" if font == FONTS[0] else "Letterlike_STIX"
        groups[rest, font] += groups.pop((name, font))
    return {key: sorted(codes) for key, codes in sorted(groups.items())}


def background(sizes: dict[tuple[str, str], int], total: int) -> list[tuple[str, str]]:
    """Pick whole alphabets that hold `total` characters together, as Omniglot's split does."""
    ways: dict[int, list[tuple[str, str]]] = {0: []}
    for key, size in sizes.items():
        for reached, keys in list(ways.items()):
            ways.setdefault(reached + size, [*keys, key])
    return ways[total]


def main() -> None:
    """Print the table of `glyph_alphabets.py`."""
    chosen = choose()
    print(f"{len(chosen)} are unlike enough, {CLASSES} are wanted", file=sys.stderr)
    groups = grouped(chosen[:CLASSES])
    first = background({key: len(codes) for key, codes in groups.items()}, BACKGROUND)
    for (name, font), codes in groups.items():
        split = "background" if (name, font) in first else "evaluation"
        print(f'    Alphabet(\n        "{name}",\n        "{font}",\n        "{split}",')
        text = textwrap.wrap(" ".join(f"{code:X}" for code in codes), 96)
        print("\n".join(f'        "{line}{" " if line is not text[-1] else ""}"' for line in text) + ",\n    ),")


if __name__ == "__main__":
    main()
