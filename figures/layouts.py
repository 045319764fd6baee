"""Layouts of accuracies: panels over rounds or over delta, and a grid over fine-tuning iterations."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from figures import style
from figures.source import Run, interval_words
from tfmeta.config.attack import FIRST_ROUND, attack_rounds
from tfmeta.config.cases import CASES, IN_FINE_TUNING
from tfmeta.errors import ResultError

_LABELS = {metric: look.label.removeprefix("backdoor, ") for metric, look in style.LOOKS.items()}


def panels(run: Run, out: Path) -> list[Path]:
    """Draw accuracies over rounds, one panel per case (figures 3 and 4); see `FigureSpec.draw`.

    Where the update of round 1 is the attack, round 2 receives the attacked model: the span between them is shaded.
    """
    attacks = _rounds_of_the_attack(run)
    with style.page(2.75) as figure:
        row, drawn = figure.subplots(1, len(run.documents)), []
        for axes, case in zip(row, run.documents, strict=True):
            drawn += _panel(axes, run, case, None, splits=("after",), first=axes is row[0])
            for number in attacks:
                axes.axvspan(number - 1, number, color="0.85", linewidth=0, zorder=0.5)
            axes.set_title("\n".join(textwrap.wrap(f"({case}) {CASES[case]}", 26)), loc="left", fontsize=7.4)
            axes.set_xlabel("round")
            axes.xaxis.get_major_locator().set_params(integer=True)
        label = "the attack (round 1's update)" if len(attacks) == 1 else f"the attack ({len(attacks)} rounds)"
        attack = Patch(color="0.85", linewidth=0, label=label)
        return _finish(figure, run, out, attack, drawn)


def delta(run: Run, out: Path) -> list[Path]:
    """Draw accuracies against delta, one panel per case, with the ratio of norms on top; see `FigureSpec.draw`."""
    with style.page(3.3) as figure:
        row, drawn = figure.subplots(1, len(run.documents)), []
        for axes, case in zip(row, run.documents, strict=True):
            drawn += _panel(axes, run, case, None, first=axes is row[0])
            axes.set_title("\n".join(textwrap.wrap(f"({case}) {IN_FINE_TUNING[case]}", 32)), loc="left", fontsize=7.4)
            axes.set_xlabel(r"share of the trained weights, $\delta$")
            _ratios(axes, drawn[-1]["x"], run, case)
        return _finish(figure, run, out, style.baseline_handle(), drawn)


def grid(run: Run, out: Path) -> list[Path]:
    """Draw accuracies over iterations, a row per case and a column per user; see `FigureSpec.draw`.

    These are figures 5 to 8 and the appendix. A curve that does not depend on the user is drawn in every column, and
    backdoor curves come with those of the model before the attack.
    """
    users = sorted({entry["user"] for one in run.documents.values() for entry in one["curves"]} - {None})
    if not users:
        raise ResultError(f"the results in {run.folder} have no curves of single users: delete them and run them again")
    with style.page(5.2) as figure:
        rows, drawn = figure.subplots(len(run.documents), len(users), squeeze=False), []
        for number, (row, case) in enumerate(zip(rows, run.documents, strict=True)):
            for axes, user in zip(row, users, strict=True):
                drawn += _panel(axes, run, case, user, first=user == users[0])
            _row_title(row, f"({case}) {IN_FINE_TUNING[case]}", users if number == 0 else ())
        for axes in rows[-1]:
            axes.set_xlabel("fine-tuning iteration")
        shared = {entry["metric"] for entry in drawn if entry["user"] is None}
        same = [f"{_LABELS[metric]}: the same for all users" for metric in style.LOOKS if metric in shared]
        return _finish(figure, run, out, style.baseline_handle(), drawn, *same)


def _rounds_of_the_attack(run: Run) -> tuple[int, ...]:
    """Return the numbers of the rounds that receive a model that was just attacked, such as (2,)."""
    config = run.first["config"]
    return attack_rounds(config["attack"].get("rounds", "once"), FIRST_ROUND + config["federation"]["rounds_after"])


def _panel(
    axes: Any, run: Run, case: str, user: int | None, *, splits: Sequence[str] = ("before", "after"), first: bool
) -> list[dict[str, Any]]:
    """Draw a panel of all metrics after the attack, and backdoor metrics before it; return the curves."""
    after = [run.curve(case, user, metric) for metric in style.LOOKS]
    before = [run.curve(case, user, metric, "before") for metric in style.BACKDOORS if "before" in splits]
    style.accuracy_axes(axes, after[0]["x"], 1 / run.ways, first)
    for entry in before:
        style.baseline(axes, entry)
    for entry in after:
        style.curve(axes, entry)
    return after + before


def _finish(figure: Figure, run: Run, out: Path, handle: Any, drawn: Sequence[dict], *more: str) -> list[Path]:
    """Put a legend above and a caption below all panels, and save the figure."""
    handles = [*style.handles(style.LOOKS), handle, style.chance_handle(run.ways)]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, handlelength=2.4)
    style.caption(figure, run.caption(interval_words(drawn, _LABELS), *more))
    return style.save(figure, out, run.stem)


def _row_title(row: Sequence[Any], title: str, users: Sequence[int]) -> None:
    """Put a title over a whole row, above the columns' own titles if `users` names them."""
    for number, axes in enumerate(row):  # these lines make room for the long title, which the layout does not see
        axes.set_title(f"\nuser {users[number]}" if users else " ")
    row[0].set_title(f"{title}\n" if users else title, loc="left").set_in_layout(False)


def _ratios(axes: Any, deltas: Sequence[float], run: Run, case: str) -> None:
    """Put the ratio of trained to random weights at every second delta on an axis above the panel."""
    ratios = run.documents[case].get("measurements", {}).get("ratios", [])
    if len(ratios) != len(deltas):
        raise ResultError(f"{run.path(case)} has no norm ratio for each delta: delete it and run it again")
    top, shown = axes.secondary_xaxis("top"), range(1, len(deltas), 2)
    labels = ["∞" if ratios[i] is None else f"{ratios[i]:.2g}" for i in shown]
    top.set_xticks([deltas[i] for i in shown], labels=labels)
    top.set_xlabel(r"ratio of norms, $\delta|\theta|\ /\ (1-\delta)|\theta_g|$")
    top.tick_params(labelsize=7)
    axes.set_xticks([deltas[i] for i in shown])
