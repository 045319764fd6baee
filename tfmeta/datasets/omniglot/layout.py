"""What Omniglot consists of: the alphabets of the public release and their characters (section 3, ledger 11)."""

import hashlib
import json
import re
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
    """One of the two halves of the release."""

    split: str  # "background" or "evaluation"
    folder: str  # also the zip's name, without .zip
    digest: str  # `Digest` of the public release's decoded images, so the same for every packing
    alphabets: dict[str, int]  # the number of characters of each
    sha256: str = ""  # of the zip at the release's public address

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


def index(archive: Archive, part: Part) -> dict[str, list[str]]:
    """Return each class's 20 members, in the order of the people who drew them; classes in the order of the bank.

    Only the last three steps of a path count, `<Alphabet>/<characterNN>/<NNNN_DD>.png`, so it does not matter how deep
    the release lies in the zip. Raises `DataError` if a file is missing, there twice, or not Omniglot's.
    """
    found: dict[str, dict[int, str]] = {name: {} for name in part.characters}
    numbers: dict[str, str] = {}  # the release's number of a character -> its class
    for member in archive.members:
        if not member.lower().endswith(".png"):
            continue
        *_, alphabet, character, file = ["", "", *member.split("/")]
        name, match, label = f"{alphabet}/{character}", _FILE.fullmatch(file), archive.path / member
        if name not in found or not match or not 1 <= int(match[2]) <= DRAWINGS:
            raise DataError(f"{label}: not an image of Omniglot's {part.folder}; remove it, or download the data again")
        other = found[name].get(int(match[2]))
        if other or numbers.setdefault(match[1], name) != name:
            other = other or f"{numbers[match[1]]}/..."
            raise DataError(f"{label}: a duplicate, since {other} is there too; remove one of them")
        found[name][int(match[2])] = member
    wanted = [(name, drawing) for name in found for drawing in range(1, DRAWINGS + 1)]
    missing = [f"{name}/NNNN_{drawing:02d}.png" for name, drawing in wanted if drawing not in found[name]]
    if missing:
        some = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise DataError(
            f"{archive.path}: {len(missing)} of the {len(wanted)} images of Omniglot's {part.folder} are missing "
            f"({some}); download it again"
        )
    return {name: [found[name][drawing] for drawing in range(1, DRAWINGS + 1)] for name in found}


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
