"""The how-to pages about plug-ins: the file that each shows, and the command that draws a figure with it."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

from doc_blocks import ROOT, blocks, files
from doc_commands import at_smoke

PAGES = {
    "attacks": "another-attack", "triggers": "another-trigger", "aggregations": "another-aggregation",
    "defences": "another-defence", "datasets": "another-data-set", "models": "another-model",
}  # fmt: skip
FOLDER = ROOT / "docs" / "how-to"


def file_of(kind: str) -> tuple[str, str]:
    """Return the name and the text of the file that the page of a kind shows."""
    ((name, text),) = files(FOLDER / f"{PAGES[kind]}.md").items()
    return name, text


def command_of(kind: str) -> list[str]:
    """Return the command of the page of a kind that draws a figure with the file, on glyphs."""
    shell = (block for block in blocks(FOLDER / f"{PAGES[kind]}.md") if block.runs and block.language == "sh")
    (words,) = (words for block in shell for words in block.commands() if {"figure", "--plugin"} <= set(words))
    return [*map(at_smoke, words), *([] if "--dataset" in words else ["--dataset", "glyphs"])]


def options_of(words: list[str]) -> dict[str, float]:
    """Return the options that a command sets with --set."""
    given = (word.split("=") for before, word in itertools.pairwise(words) if before == "--set")
    return {name: float(value) for name, value in given}


def run(words: list[str], folder: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Run `tfmeta` in a process of its own, in a folder; `paths` are searched for packages."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *paths)))}
    assert words[0] == "tfmeta"
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=280,
    )  # fmt: skip
