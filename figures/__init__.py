"""The figures of the paper, and tables, drawn from stored results: each reads a run's folder and nothing else.

``FIGURES[name].draw(folder, out)`` writes ``<out>/<name>.pdf`` and ``.png`` (a table: ``.md`` and ``.csv``) and
returns their paths. matplotlib is loaded when the first figure is drawn.
"""

import dataclasses
import importlib
from pathlib import Path

BLACK_AND_WHITE = ("omniglot", "glyphs")
COLOR = ("mini-imagenet", "glyphs-color")
CASES = ("a", "b", "c")
_PARTS = (
    "full", "no-defence", "softmax-head", "no-mix", "no-fine-tuning", "one-phase", "gates-fixed", "beta-1", "beta-100",
    "head-rate-x10",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FigureSpec:
    """What a figure is drawn from: ``<experiment>-<case>.json`` for each experiment and case, of one data set.

    ``layout``: "module.function" under ``figures`` that draws it. ``head``: of the curves. ``says``: how the caption
    names what was done, with fields of the configuration in braces.
    """

    name: str
    title: str
    layout: str
    experiments: tuple[str, ...]
    cases: tuple[str, ...] = CASES
    datasets: tuple[str, ...] = BLACK_AND_WHITE
    head: str = "softmax"
    says: str = ""

    @property
    def experiment(self):
        """The one experiment of a figure that is drawn from one."""
        (only,) = self.experiments
        return only

    def draw(self, folder, out):
        """Draw the results of ``folder``; return the paths of the files in ``out``.

        Raises ``ResultError`` where a result is missing (it names the file and the command that computes it),
        damaged or of another data set or run, and ``StorageError`` where the disk refuses.
        """
        module, function = self.layout.split(".")
        return getattr(importlib.import_module(f"figures.{module}"), function)(self, Path(folder), Path(out))


def _grid(name, title, experiment, **more):
    return FigureSpec(name, title, "layouts.grid", (experiment,), **more)


_MATCHING = dict(head="matching", says="matching networks on weights mixed with delta = {delta:g}")

FIGURES = {
    spec.name: spec
    for spec in (
        FigureSpec("fig1", "Backdoor attack", "illustration.pictures", ("illustration",), ("a",)),
        FigureSpec("fig3", "Benign meta-training after the attack", "layouts.panels", ("meta_training",)),
        _grid("fig5", "Benign fine-tuning after the attack", "fine_tuning"),
        _grid("fig7", "Benign fine-tuning of matching networks", "matching", **_MATCHING),
        _grid("figA1", "Matching networks, delta 0.6", "figA1", **_MATCHING),
        _grid("figA3", "Matching networks, delta 0.4", "figA3", **_MATCHING),
        _grid("figA4", "Matching networks, delta 0.2", "figA4", **_MATCHING),
        _grid(
            "figA5", "Matching networks, another set of tasks", "figA5",
            head="matching", says=_MATCHING["says"] + ", another set of tasks (task_seed {task_seed})",
        ),
        _grid(
            "figA6", "Supervised fine-tuning from mixed weights", "figA6",
            says="supervised fine-tuning from weights mixed with delta = {delta:g}",
        ),
        FigureSpec(
            "ablation-table", "The defence's parts, one change at a time", "ablation_table.write",
            tuple(f"ablation-{part}" for part in _PARTS), ("a", "c"),
        ),
        FigureSpec(
            "fig-delta", "The defence against delta", "delta.draw", ("delta-curve",), ("a", "c"), head="matching"
        ),
    )
}  # fmt: skip

# what one name draws: make ablations
GROUPS = {"ablations": ("figA1", "figA3", "figA4", "figA5", "figA6")}
