"""The figures of the paper, drawn from stored results: each reads a run's folder and nothing else.

``FIGURES[name].draw(folder, out)`` writes ``<out>/<name>.pdf`` and ``.png`` and returns their paths.
matplotlib is loaded when the first figure is drawn.
"""

import dataclasses
import importlib
from pathlib import Path

BLACK_AND_WHITE = ("omniglot", "glyphs")
COLOR = ("mini-imagenet", "glyphs-color")


@dataclasses.dataclass(frozen=True)
class FigureSpec:
    """What a figure is drawn from: ``<experiment>-<case>.json`` for each case, of one of the data sets."""

    name: str
    title: str
    experiment: str
    cases: tuple[str, ...]
    datasets: tuple[str, ...]

    def draw(self, folder, out):
        """Draw the results of ``folder``; return the paths of the PDF and the PNG in ``out``.

        Raises ``ResultError`` where a result is missing (it names the file and the command that computes it),
        damaged or of another data set or run, and ``StorageError`` where the disk refuses.
        """
        module = importlib.import_module(f"figures.{self.name}")
        return module.draw(Path(folder), Path(out))


FIGURES = {
    spec.name: spec
    for spec in (
        FigureSpec("fig1", "Backdoor attack", "illustration", ("a",), BLACK_AND_WHITE),
        FigureSpec("fig3", "Benign meta-training after the attack", "meta_training", ("a", "b", "c"), BLACK_AND_WHITE),
        FigureSpec("fig5", "Benign fine-tuning after the attack", "fine_tuning", ("a", "b", "c"), BLACK_AND_WHITE),
    )
}
