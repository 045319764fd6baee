"""What Omniglot consists of: the alphabets of the public release and their characters (section 3, ledger 11)."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfmeta.datasets.archives import Archive
from tfmeta.errors import DataError

DRAWINGS = 20  # of each character, by 20 people
SIDE = 105  # pixels of a drawing
_FILE = re.compile(r"(\d{4})_(\d\d)\.png")


@dataclass(frozen=True)
class Part:
    """One of the two halves of the release.

    Attributes:
        split: "background" or "evaluation".
        folder: The folder's name, and the zip's without .zip.
        digest: `Digest` of the public release's decoded images, so the same for every packing.
        alphabets: How many characters each alphabet has.
        sha256: Of the zip at the release's public address.
    """

    split: str
    folder: str
    digest: str
    alphabets: dict[str, int]
    sha256: str = ""

    @property
    def characters(self) -> list[str]:
        """Names of the classes, in the order of the bank."""
        return [
            f"{alphabet}/character{number:02d}"
            for alphabet, count in sorted(self.alphabets.items())
            for number in range(1, count + 1)
        ]


PARTS = tuple(Part(**part) for part in json.loads(Path(__file__).with_name("release.json").read_text()))
BACKGROUND, EVALUATION = PARTS


def index(archive: Archive, part: Part) -> Iterator[tuple[str, list[str]]]:
    """Find the files of each class.

    Only the last three steps of a path count, `<Alphabet>/<characterNN>/<NNNN_DD>.png`, so it does not matter how deep
    the release lies in the zip.

    Returns:
        For each class its name and its 20 members, in the order of the people who drew them.

    Raises:
        DataError: a file is missing, there twice, or not Omniglot's; raised before the first class is returned.
    """
    expected = part.characters
    found: dict[str, dict[int, str]] = {name: {} for name in expected}
    numbers: dict[str, str] = {}  # the release's number of a character -> its class
    for member in archive.members:
        if not member.lower().endswith(".png"):
            continue
        *_, alphabet, character, file = ["", "", *member.split("/")]
        name, match = f"{alphabet}/{character}", _FILE.fullmatch(file)
        if name not in found or not match or not 1 <= int(match[2]) <= DRAWINGS:
            raise DataError(
                f"{archive.label(member)}: not an image of Omniglot's {part.folder}; "
                "remove it, or download the data again"
            )
        number, drawing = match[1], int(match[2])
        other = found[name].get(drawing)
        if other or numbers.setdefault(number, name) != name:
            other = other or f"{numbers[number]}/..."
            raise DataError(f"{archive.label(member)}: a duplicate, since {other} is there too; remove one of them")
        found[name][drawing] = member
    _check_complete(archive, part, found)
    return ((name, [found[name][drawing] for drawing in range(1, DRAWINGS + 1)]) for name in expected)


def _check_complete(archive: Archive, part: Part, found: dict[str, dict[int, str]]) -> None:
    """Raise `DataError` if classes or drawings are missing."""
    empty = [name for name, drawings in found.items() if not drawings]
    if len(empty) == len(found):
        raise DataError(
            f"{archive.path}: holds no images of Omniglot's {part.folder} "
            "(<Alphabet>/<characterNN>/<NNNN_DD>.png); download it again"
        )
    if empty:
        raise DataError(
            f"{archive.path}: holds {len(found) - len(empty)} characters instead of {len(found)}; "
            f"missing: {_some(empty)}; download it again"
        )
    for name, drawings in found.items():
        missing = sorted(set(range(1, DRAWINGS + 1)) - set(drawings))
        if missing:
            number = next(iter(drawings.values())).rsplit("/", 1)[1][:4]
            files = _some([f"{number}_{drawing:02d}.png" for drawing in missing])
            raise DataError(
                f"{archive.path}: {name} has {len(drawings)} drawings instead of {DRAWINGS}; "
                f"missing: {files}; download it again"
            )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


class Digest:
    """Digest of a part's images: of what they show, not of how they are packed."""

    def __init__(self):
        self._sha = hashlib.sha256()

    def add(self, name: str, drawings: np.ndarray) -> None:
        """Add one class, bool [DRAWINGS, SIDE, SIDE]; classes must come in the order of `Part.characters`."""
        self._sha.update(name.encode() + b"\n" + np.packbits(drawings.reshape(len(drawings), -1), axis=1).tobytes())

    def hexdigest(self) -> str:
        """Return the sha256 of all that was added."""
        return self._sha.hexdigest()
