"""One thing that is stored, and whether something uses it."""

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from tfmeta.store import last_use

USED, UNUSED = "used", "unused"
# These are removed only if somebody asks for them: it is not known that nothing needs them.
UNFINISHED, DAMAGED, UNKNOWN = "unfinished", "damaged", "unknown"
# These are never removed.
LISTED, FOREIGN = "listed only", "not ours"


@dataclasses.dataclass(frozen=True)
class Entry:
    """A stored file, or files that belong together.

    Attributes:
        kind: "banks", "shards", "models", "parts" or "data".
        name: What people call it; entries that are listed together have one name.
        paths: Its files or its folder. They are removed in this order, so the first one makes the others count.
        size: Bytes.
        last_used: Seconds since 1970.
        state: One of the words above.
        what: What it is, in words.
        why: Why it has its state, in words.
        lock: The file whose lock those who write it hold, if there is one.
        left: Whether a process that has ended left it behind, so that nobody can be about to use it.
    """

    kind: str
    name: str
    paths: Sequence[Path]
    size: int
    last_used: float
    state: str
    what: str = ""
    why: str = ""
    lock: Path | None = None
    left: bool = False


def made(
    kind: str, name: str, files: Iterable[tuple[Path, os.stat_result]], state: str, what: str = "", why: str = "",
    **more: bool | Path | None,
) -> Entry:  # fmt: skip
    """Return an entry for some files, given with their stat."""
    files = list(files)
    size = sum(status.st_size for _, status in files)
    used = max((last_use.of(status) for _, status in files), default=0.0)
    return Entry(kind, name, [path for path, _ in files], size, used, state, what, why, **more)
