"""What happens to files: a flipped bit, a run of zeros, a cut, nothing left."""

import json
import random
from pathlib import Path

from tfmeta.errors import ResultError
from tfmeta.store import npz


def flip(content: bytes, chance: random.Random) -> bytes:
    """Flip one bit."""
    place = chance.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


def zero(content: bytes, chance: random.Random) -> bytes:
    """Set a run of bytes to zero, as a lost block of a disk; it begins at a byte that is not zero."""
    begin = chance.choice([place for place in range(len(content)) if content[place]])
    length = min(chance.randint(1, 4096), len(content) - begin)
    return content[:begin] + bytes(length) + content[begin + length :]


def cut(content: bytes, chance: random.Random) -> bytes:
    """Leave out the end."""
    return content[: chance.randrange(1, len(content))]


def empty(content: bytes, chance: random.Random) -> bytes:
    """Leave nothing."""
    return b""


DAMAGES = {function.__name__: function for function in (flip, zero, cut, empty)}


def damage(path: Path, how: str, chance: random.Random) -> None:
    """Damage a file in place. An empty one, such as a lock, gets bytes that do not belong there.

    A few bits carry nothing: JSON's `e` and `E` are the same, and so is a time in a zip that nobody reads. Such a
    damage is drawn again.
    """
    content = path.read_bytes()
    before = _meaning(path)
    while _meaning(path) == before:
        damaged = DAMAGES[how](content, chance) if content else chance.randbytes(64)
        assert damaged != content
        path.write_bytes(damaged)


def _meaning(path):
    """Return what is read from a file: JSON, or arrays and a manifest; its bytes where it is neither."""
    try:
        if path.suffix == ".npz":
            arrays, manifest = npz.unpack(path, "")
            return repr(manifest), {name: (one.dtype, one.shape, one.tobytes()) for name, one in arrays.items()}
        if path.suffix == ".json":
            return json.loads(path.read_bytes())
    except (ResultError, ValueError):
        pass
    return path.read_bytes()
