"""The commands of the documentation: fenced blocks, and commands in running text."""

import dataclasses
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if not path.is_symlink()),
]
_FENCE = re.compile(r"^(?:<!-- planned only: ([^\n]+) -->\n)?```([^\n]*)\n(.*?)^```$", re.M | re.S)
_INLINE = re.compile(r"`((?:make|tfmeta)\s[^`]+)`")
_PLACEHOLDER = re.compile(r"[A-Z]+(\.\.\.)?")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    `planned` says why it is not run, or is None. With a `file` (```python title="wave.py") it is not run either, but
    is a file that later blocks use.
    """

    page: Path
    line: int
    language: str
    text: str
    planned: str | None
    file: str | None

    @property
    def place(self) -> str:
        """Where the block is, for messages."""
        return f"{name(self.page)}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether a test runs the block."""
        return self.planned is None and self.file is None and self.language in ("sh", "python")

    def commands(self) -> list[list[str]]:
        """Return the words of each command of a shell block, without comments."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [words for line in lines if (words := shlex.split(line, comments=True))]


def name(page: Path) -> str:
    """Return a page's path in the repository."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [_block(page, text.count("\n", 0, found.start(2)) + 1, found) for found in _FENCE.finditer(text)]


def _block(page, line, found):
    language, *file = found[2].split(" title=", 1)
    return Block(page, line, language, found[3], found[1], file[0].strip('"') if file else None)


def files(page: Path) -> dict[str, str]:
    """Return the files that a page shows, by name."""
    return {block.file: block.text for block in blocks(page) if block.file}


def inline_commands(page: Path) -> list[list[str]]:
    """Return the commands in a page's running text, but for those with placeholders such as NAME."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    found = [shlex.split(match[1]) for match in _INLINE.finditer(text)]
    return [words for words in found if not any(_PLACEHOLDER.fullmatch(word) for word in words)]
