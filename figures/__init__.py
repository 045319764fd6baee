"""The figures and tables of the paper, drawn from a run's folder of stored results and nothing else."""

import dataclasses
import fnmatch
import importlib
from collections.abc import Iterable
from pathlib import Path

from tfmeta import registry
from tfmeta.config.cases import CASES
from tfmeta.errors import ConfigError, unknown


@dataclasses.dataclass(frozen=True)
class FigureSpec:
    """What a figure is drawn from: the results of one run in some experiments and cases.

    Attributes:
        name: The figure's name.
        title: What it shows, in a few words.
        experiments: Names of experiments; "ablation-*" stands for all that begin with "ablation-".
        layout: The function that draws it, as "module.function" of this package.
        cases: The cases that are drawn.
        about: The data sets of the paper that it is about.
        head: "softmax" or "matching": the curves that are drawn, where the run names no defence.
        says: How the caption names the experiment's own defence; `{group[field]}` is a field of the configuration.
        also: How the caption goes on after the defence, whichever it is.
    """

    name: str
    title: str
    experiments: tuple[str, ...]
    layout: str = "layouts.grid"
    cases: tuple[str, ...] = tuple(CASES)
    about: tuple[str, ...] = ("omniglot",)
    head: str = "softmax"
    says: str = ""
    also: str = ""

    @property
    def datasets(self) -> tuple[str, ...]:
        """The data sets that it is about, and their stand-ins."""
        return tuple(name for dataset in self.about for name in registry.standing_for(dataset))

    def is_drawn_from(self, dataset: str) -> bool:
        """Return whether it can be drawn from a data set: not from the paper's other one, but from any of one's own."""
        return dataset in self.datasets or not registry.is_of_paper(dataset)

    def draw(self, folder: Path | str, out: Path | str) -> list[Path]:
        """Draw the results of a run's folder; return the paths of the files, which go to the folder `out`.

        They are `<name>.pdf` and `.png`, or `.md` and `.csv` for a table. The name of another run's files says what is
        not the default (the paper's data set, profile quick): `fig5-smoke.pdf`, `fig5-glyphs-smoke-delta=0.5.pdf`.
        What a killed drawing command left half-written in `out` is removed.

        Raises:
            ResultError: a result is missing (the message names the command that computes it), damaged, of another data
                set, or of another run than the others.
            StorageError: the disk refuses.
        """
        from figures.source import Run  # here: matplotlib is imported when the first figure is drawn
        from tfmeta.store import atomic

        atomic.sweep(out, below=False)
        module, function = self.layout.split(".")
        layout = getattr(importlib.import_module(f"figures.{module}"), function)
        return layout(Run.read(self, Path(folder)), Path(out))


_PHOTOS, _BOTH = {"about": ("mini-imagenet",)}, {"about": ("omniglot", "mini-imagenet"), "cases": ("a", "c")}
_MIX = " weights mixed with delta = {defence[delta]:g}"
_MATCHING = {"head": "matching", "says": f"matching networks on{_MIX}"}
_SUPERVISED = {"says": f"supervised fine-tuning from{_MIX}"}
_TASKS = {**_MATCHING, "also": ", another set of tasks (task_seed {evaluation[task_seed]})"}
_EXTRA = {**_PHOTOS, "also": " after {defence[extra_episodes]} episodes of the user's own extra meta-training"}
_EXTRA_MATCHING, _EXTRA_SUPERVISED = {**_MATCHING, **_EXTRA}, {**_SUPERVISED, **_EXTRA}
_IMAGES, _ROUNDS = ("illustration",), ("meta_training",)

_ALL = (
    FigureSpec("fig1", "the attacker's images and the trigger", _IMAGES, "illustration.draw", ("a",)),
    FigureSpec("fig2", "the attacker's images and the trigger", _IMAGES, "illustration.draw", ("a",), **_PHOTOS),
    FigureSpec("fig3", "benign meta-training after the attack", _ROUNDS, "layouts.panels"),
    FigureSpec("fig4", "benign meta-training after the attack", _ROUNDS, "layouts.panels", **_PHOTOS),
    FigureSpec("fig5", "benign fine-tuning after the attack", ("fine_tuning",)),
    FigureSpec("fig6", "benign fine-tuning after the attack", ("fine_tuning",), **_PHOTOS),
    FigureSpec("fig7", "the defence: matching networks on mixed weights", ("matching",), **_MATCHING),
    FigureSpec("fig8", "the defence: matching networks on mixed weights", ("matching",), **_MATCHING, **_PHOTOS),
    FigureSpec("figA1", "the defence with delta = 0.6", ("figA1",), **_MATCHING),
    FigureSpec("figA2", "the defence with delta = 0.6", ("figA2",), **_MATCHING, **_PHOTOS),
    FigureSpec("figA3", "the defence with delta = 0.4", ("figA3",), **_MATCHING),
    FigureSpec("figA4", "the defence with delta = 0.2", ("figA4",), **_MATCHING),
    FigureSpec("figA5", "the defence on another set of tasks", ("figA5",), **_TASKS),
    FigureSpec("figA6", "supervised fine-tuning from mixed weights", ("figA6",), **_SUPERVISED),
    FigureSpec("figA7", "supervised fine-tuning from mixed weights", ("figA7",), **_SUPERVISED, **_PHOTOS),
    FigureSpec("figA8", "supervised, after some extra meta-training", ("figA8",), **_EXTRA_SUPERVISED),
    FigureSpec("figA9", "matching networks, after some extra meta-training", ("figA9",), **_EXTRA_MATCHING),
    FigureSpec("figA10", "supervised, after much extra meta-training", ("figA10",), **_EXTRA_SUPERVISED),
    FigureSpec("figA11", "matching networks, after much extra meta-training", ("figA11",), **_EXTRA_MATCHING),
    FigureSpec("fig-delta", "the defence against delta", ("delta-curve",), "layouts.delta", head="matching", **_BOTH),
    FigureSpec("ablation-table", "the defence's parts, one at a time", ("ablation-*",), "tables.ablation", **_BOTH),
    FigureSpec("runtime-omniglot", "run times", ("runtime",), "tables.runtime", ("a",)),
    FigureSpec("runtime-mini-imagenet", "run times", ("runtime",), "tables.runtime", ("a",), **_PHOTOS),
)  # fmt: skip
FIGURES: dict[str, FigureSpec] = {spec.name: spec for spec in _ALL}

_PATTERNS = {"ablations": "figA*", "figures": "fig[1-9A]*", "runtime": "runtime-*"}  # what `make figures` and such draw
GROUPS = {group: fnmatch.filter(FIGURES, pattern) for group, pattern in _PATTERNS.items()}


def titles() -> dict[str, str]:
    """Return what each figure shows, and the data sets that it is about, by the figure's name."""
    return {name: f"{spec.title} ({' or '.join(spec.about)})" for name, spec in FIGURES.items()}


def chosen(names: Iterable[str], dataset: str) -> list[FigureSpec]:
    """Return the figures that names of figures and groups stand for.

    Args:
        names: Names in `FIGURES` or `GROUPS`.
        dataset: A data set's name: of a group, only the figures that are about it are returned; of a data set of
            one's own, those about the data set of the paper whose profiles it has. With "auto" all are, except that
            "ablations" are then Omniglot's.

    Raises:
        ConfigError: a name is unknown (the nearest is suggested), or a figure is about other data sets.
    """
    specs = []
    for name in names:
        if name not in FIGURES and name not in GROUPS:
            raise ConfigError(unknown("figure", name, [*FIGURES, *GROUPS]))
        wanted = _about(dataset, name) if name in GROUPS else dataset
        for spec in (FIGURES[one] for one in GROUPS.get(name, (name,))):
            # an unknown data set is refused where it is opened
            if wanted == "auto" or spec.is_drawn_from(wanted):
                specs.append(spec)
            elif name in FIGURES:
                known = " or its stand-in ".join(spec.datasets)
                raise ConfigError(f"{name} shows {known}: leave out --dataset or choose one of these")
    return specs


def _about(dataset: str, group: str) -> str:
    """Return the data set that the figures of a group are to be about; "auto" for all."""
    if dataset == "auto" and group == "ablations":
        return "omniglot"
    known = dataset in registry.names("datasets") and not registry.is_of_paper(dataset)
    return registry.find("datasets", dataset).profiles_of if known else dataset
