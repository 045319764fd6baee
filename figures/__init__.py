"""The figures of the paper, and tables, drawn from stored results: each reads a run's folder and nothing else.

``FIGURES[name].draw(folder, out)`` writes ``<out>/<name>.pdf`` and ``.png`` (a table: ``.md`` and ``.csv``) and
returns their paths. matplotlib is loaded when the first figure is drawn.
"""

import dataclasses
import importlib
from pathlib import Path

from tfmeta import registry
from tfmeta.config.cases import CASES

OMNIGLOT, PHOTOS = registry.standing_for("omniglot"), registry.standing_for("mini-imagenet")


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
    cases: tuple[str, ...] = tuple(CASES)
    datasets: tuple[str, ...] = OMNIGLOT
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


_MATCHING = "matching networks on weights mixed with delta = {defence.delta:g}"
_SUPERVISED = "supervised fine-tuning from weights mixed with delta = {defence.delta:g}"
_EXTRA = " after {defence.extra_episodes} episodes of the user's own extra meta-training"


def _matching(name, title, experiment, more="", **given):
    return _grid(name, title, experiment, head="matching", says=_MATCHING + more, **given)


def _supervised(name, title, experiment, more="", **given):
    return _grid(name, title, experiment, says=_SUPERVISED + more, **given)


_PHOTOS = {"datasets": PHOTOS}

FIGURES = {
    spec.name: spec
    for spec in (
        FigureSpec("fig1", "Backdoor attack", "illustration.pictures", ("illustration",), ("a",)),
        FigureSpec("fig2", "Backdoor attack", "illustration.pictures", ("illustration",), ("a",), **_PHOTOS),
        FigureSpec("fig3", "Benign meta-training after the attack", "layouts.panels", ("meta_training",)),
        FigureSpec("fig4", "Benign meta-training after the attack", "layouts.panels", ("meta_training",), **_PHOTOS),
        _grid("fig5", "Benign fine-tuning after the attack", "fine_tuning"),
        _grid("fig6", "Benign fine-tuning after the attack", "fine_tuning", **_PHOTOS),
        _matching("fig7", "Benign fine-tuning of matching networks", "matching"),
        _matching("fig8", "Benign fine-tuning of matching networks", "matching", **_PHOTOS),
        _matching("figA1", "Matching networks, delta 0.6", "figA1"),
        _matching("figA2", "Matching networks, delta 0.6", "figA2", **_PHOTOS),
        _matching("figA3", "Matching networks, delta 0.4", "figA3"),
        _matching("figA4", "Matching networks, delta 0.2", "figA4"),
        _matching(
            "figA5", "Matching networks, another set of tasks", "figA5",
            ", another set of tasks (task_seed {evaluation.task_seed})",
        ),
        _supervised("figA6", "Supervised fine-tuning from mixed weights", "figA6"),
        _supervised("figA7", "Supervised fine-tuning from mixed weights", "figA7", **_PHOTOS),
        _supervised("figA8", "Some extra local meta-training, then supervised", "figA8", _EXTRA, **_PHOTOS),
        _matching("figA9", "Some extra local meta-training, then matching networks", "figA9", _EXTRA, **_PHOTOS),
        _supervised("figA10", "Much extra local meta-training, then supervised", "figA10", _EXTRA, **_PHOTOS),
        _matching("figA11", "Much extra local meta-training, then matching networks", "figA11", _EXTRA, **_PHOTOS),
        FigureSpec(
            "ablation-table", "The defence's parts, one change at a time", "ablation_table.write",
            ("ablation-*",), ("a", "c"), OMNIGLOT + PHOTOS,
        ),
        FigureSpec(
            "fig-delta", "The defence against delta", "delta.draw", ("delta-curve",), ("a", "c"),
            OMNIGLOT + PHOTOS, head="matching",
        ),
        FigureSpec("runtime-omniglot", "Run times", "runtime_table.write", ("runtime",), ("a",)),
        FigureSpec("runtime-mini-imagenet", "Run times", "runtime_table.write", ("runtime",), ("a",), **_PHOTOS),
    )
}  # fmt: skip

_OF_THE_PAPER = [name for name in FIGURES if name.startswith("fig") and name != "fig-delta"]
# what one name draws: make ablations, make figures
GROUPS = {
    "ablations": [name for name in _OF_THE_PAPER if name.startswith("figA")],
    "figures": _OF_THE_PAPER,
    "runtime": ["runtime-omniglot", "runtime-mini-imagenet"],
}


def chosen(names, dataset):
    """Return the specs that ``names`` of figures and groups stand for, for a data set's name or "auto".

    Of a group they are those that are drawn from the data set; "auto" stands for Omniglot in "ablations", and for
    either kind in "figures". Raises ``ConfigError`` for an unknown name, and for a figure of other data sets.
    """
    from tfmeta.errors import ConfigError

    specs = []
    for name in names:
        if name not in FIGURES and name not in GROUPS:
            raise ConfigError(f"unknown figure {name!r}: choose one of {', '.join([*FIGURES, *GROUPS])}")
        wanted = "omniglot" if (name, dataset) == ("ablations", "auto") else dataset
        for spec in (FIGURES[one] for one in GROUPS.get(name, (name,))):
            if wanted == "auto" or wanted in spec.datasets or wanted not in OMNIGLOT + PHOTOS:
                specs.append(spec)
            elif name in FIGURES:
                known = " or ".join(spec.datasets)
                raise ConfigError(f"{name} is of {known}, not of {dataset}: choose another --dataset")
    return specs
