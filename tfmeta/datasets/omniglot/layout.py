"""What Omniglot consists of: the alphabets of the public release and their characters (section 3, ledger 11)."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tfmeta.datasets.archives import Pictures
from tfmeta.errors import DataError

DRAWINGS = 20  # of each character, by 20 people
SIDE = 105  # pixels of a drawing
_FILE = re.compile(r"(\d{4})_(\d\d)\.png")


@dataclass(frozen=True)
class Part:
    """One of the two halves of the release."""

    split: str
    folder: str  # also the zip's name, with .zip
    digest: str  # `Digest` of the public release, over decoded pictures: the same for every packing
    alphabets: dict[str, int]

    @property
    def characters(self) -> list[str]:
        """Names of the classes, in the order of the bank."""
        return [
            f"{alphabet}/character{number:02d}"
            for alphabet, count in sorted(self.alphabets.items())
            for number in range(1, count + 1)
        ]


BACKGROUND = Part(
    split="background",
    folder="images_background",
    digest="f6ca70a9aaca3455af798c00ba5ab2d54e1fb3f2d8d71770ad689d3af25d4700",
    alphabets={
        "Alphabet_of_the_Magi": 20,
        "Anglo-Saxon_Futhorc": 29,
        "Arcadian": 26,
        "Armenian": 41,
        "Asomtavruli_(Georgian)": 40,
        "Balinese": 24,
        "Bengali": 46,
        "Blackfoot_(Canadian_Aboriginal_Syllabics)": 14,
        "Braille": 26,
        "Burmese_(Myanmar)": 34,
        "Cyrillic": 33,
        "Early_Aramaic": 22,
        "Futurama": 26,
        "Grantha": 43,
        "Greek": 24,
        "Gujarati": 48,
        "Hebrew": 22,
        "Inuktitut_(Canadian_Aboriginal_Syllabics)": 16,
        "Japanese_(hiragana)": 52,
        "Japanese_(katakana)": 47,
        "Korean": 40,
        "Latin": 26,
        "Malay_(Jawi_-_Arabic)": 40,
        "Mkhedruli_(Georgian)": 41,
        "N_Ko": 33,
        "Ojibwe_(Canadian_Aboriginal_Syllabics)": 14,
        "Sanskrit": 42,
        "Syriac_(Estrangelo)": 23,
        "Tagalog": 17,
        "Tifinagh": 55,
    },
)
EVALUATION = Part(
    split="evaluation",
    folder="images_evaluation",
    digest="fa3305c0c036ffa1bdf377719921527e83529d7f2dc21ebb8957e37fd5b83446",
    alphabets={
        "Angelic": 20,
        "Atemayar_Qelisayer": 26,
        "Atlantean": 26,
        "Aurek-Besh": 26,
        "Avesta": 26,
        "Ge_ez": 26,
        "Glagolitic": 45,
        "Gurmukhi": 45,
        "Kannada": 41,
        "Keble": 26,
        "Malayalam": 47,
        "Manipuri": 40,
        "Mongolian": 30,
        "Old_Church_Slavonic_(Cyrillic)": 45,
        "Oriya": 46,
        "Sylheti": 28,
        "Syriac_(Serto)": 23,
        "Tengwar": 25,
        "Tibetan": 42,
        "ULOG": 26,
    },
)
PARTS = (BACKGROUND, EVALUATION)


def index(pictures: Pictures, part: Part) -> Iterator[tuple[str, list[str]]]:
    """Find the files of each class: (name, its 20 members in the order of the drawers).

    A path counts from its last three steps, `<Alphabet>/<characterNN>/<NNNN_DD>.png`, so it does not matter how
    deep the release lies in the zip. Raises `DataError`, before the first class, which names what is missing, doubled
    or foreign.
    """
    expected = part.characters
    found: dict[str, dict[int, str]] = {name: {} for name in expected}
    numbers: dict[str, str] = {}  # the release's number of a character -> its class
    for member in pictures.members:
        if not member.lower().endswith(".png"):
            continue
        *_, alphabet, character, file = ["", "", *member.split("/")]
        name, match = f"{alphabet}/{character}", _FILE.fullmatch(file)
        if name not in found or not match or not 1 <= int(match[2]) <= DRAWINGS:
            raise DataError(
                f"{pictures.label(member)}: not a picture of Omniglot's {part.folder}; "
                "remove it, or fetch the data again"
            )
        number, drawing = match[1], int(match[2])
        other = found[name].get(drawing)
        if other or numbers.setdefault(number, name) != name:
            other = other or f"{numbers[number]}/…"
            raise DataError(f"{pictures.label(member)}: doubled, since {other} is there too; remove one of them")
        found[name][drawing] = member
    _complete(pictures, part, found)
    return ((name, [found[name][drawing] for drawing in range(1, DRAWINGS + 1)]) for name in expected)


def _complete(pictures: Pictures, part: Part, found: dict[str, dict[int, str]]) -> None:
    """Raise `DataError` where classes or drawings are missing."""
    empty = [name for name, drawings in found.items() if not drawings]
    if len(empty) == len(found):
        raise DataError(
            f"{pictures.path}: holds no pictures of Omniglot's {part.folder} "
            "(<Alphabet>/<characterNN>/<NNNN_DD>.png); fetch it again"
        )
    if empty:
        raise DataError(
            f"{pictures.path}: holds {len(found) - len(empty)} characters instead of {len(found)}; "
            f"missing: {_some(empty)}; fetch it again"
        )
    for name, drawings in found.items():
        missing = sorted(set(range(1, DRAWINGS + 1)) - set(drawings))
        if missing:
            number = next(iter(drawings.values())).rsplit("/", 1)[1][:4]
            files = [f"{number}_{drawing:02d}.png" for drawing in missing]
            raise DataError(
                f"{pictures.path}: {name} has {len(drawings)} drawings instead of {DRAWINGS}; "
                f"missing: {_some(files)}; fetch it again"
            )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


class Digest:
    """Digest of the pictures of a part, over what they show and not over how they are packed."""

    def __init__(self):
        self._sha = hashlib.sha256()

    def add(self, name: str, drawings: np.ndarray) -> None:
        """Take in one class: bool [DRAWINGS, SIDE, SIDE], classes in the order of `Part.characters`."""
        self._sha.update(name.encode() + b"\n" + np.packbits(drawings.reshape(len(drawings), -1), axis=1).tobytes())

    def hexdigest(self) -> str:
        """Return the sha256 of all that was added."""
        return self._sha.hexdigest()
