"""The two ways in which the paper lays out accuracies: panels over rounds, and a grid over iterations."""

import textwrap

from matplotlib.patches import Patch

from figures import source, style
from tfmeta.config.cases import CASES
from tfmeta.errors import ResultError

AFTER_PRETRAINING = {**CASES, "b": "backdoor classes used in benign pre-training"}
_LABELS = {metric: look.label.removeprefix("backdoor, ") for metric, look in style.LOOKS.items()}


def panels(spec, folder, out, titles=CASES):
    """Draw accuracies over rounds, one panel a case (figures 3 and 4); return the paths of the files.

    The curves' user is null. Round 1's update is the attack, so that round 2 receives the attacked model:
    the span between the two is shaded. Raises ``ResultError`` and ``StorageError`` as ``FigureSpec.draw``
    says.
    """
    found = source.documents(folder, spec.name, spec.experiment, spec.cases, spec.datasets)
    titles = {case: titles[case] for case in spec.cases}
    curves = {
        case: [_get(folder, document, None, metric, spec.head, "after") for metric in style.LOOKS]
        for case, document in found.items()
    }
    ways = _ways(found)
    with style.page(2.75) as figure:
        row = figure.subplots(1, len(titles))
        for axes, (case, title) in zip(row, titles.items(), strict=True):
            style.accuracy_axes(axes, curves[case][0]["x"], 1 / ways, first=axes is row[0])
            axes.axvspan(1, 2, color="0.85", linewidth=0, zorder=0.5)
            for entry in curves[case]:
                style.curve(axes, entry)
            axes.set_title("\n".join(textwrap.wrap(f"({case}) {title}", 26)), loc="left", fontsize=7.4)
            axes.set_xlabel("round")
            axes.xaxis.get_major_locator().set_params(integer=True)
        attack = Patch(color="0.85", linewidth=0, label="the attack (round 1's update)")
        legend(figure, [*style.handles(style.LOOKS), attack, style.chance_handle(ways)])
        caption(figure, spec, folder, found, [entry for entries in curves.values() for entry in entries])
        return style.save(figure, out, spec.name)


def grid(spec, folder, out, titles=AFTER_PRETRAINING):
    """Draw accuracies over iterations, a row a case and a column a user (figures 5 to 8 and the appendix).

    Returns the paths of the files in ``out``. A curve whose user is null is drawn in every column. Backdoor
    curves come with those of the model before the attack. Raises ``ResultError`` and ``StorageError`` as
    ``FigureSpec.draw`` says.
    """
    found = source.documents(folder, spec.name, spec.experiment, spec.cases, spec.datasets)
    titles = {case: titles[case] for case in spec.cases}
    users = _users(folder, found)
    ways, drawn = _ways(found), []
    with style.page(5.2) as figure:
        panels = figure.subplots(len(titles), len(users), squeeze=False)
        for number, (case, title) in enumerate(titles.items()):
            for axes, user in zip(panels[number], users, strict=True):
                after = [_get(folder, found[case], user, metric, spec.head, "after") for metric in style.LOOKS]
                before = [_get(folder, found[case], user, metric, spec.head, "before") for metric in style.BACKDOORS]
                _cell(axes, after, before, ways, first=user == users[0])
                drawn += after + before
            _row_title(panels[number], f"({case}) {title}", users if number == 0 else ())
        for axes in panels[-1]:
            axes.set_xlabel("fine-tuning iteration")
        legend(figure, [*style.handles(style.LOOKS), style.baseline_handle(), style.chance_handle(ways)])
        shared = {entry["metric"] for entry in drawn if entry["user"] is None}
        same = [f"{_LABELS[metric]}: the same for all users" for metric in style.LOOKS if metric in shared]
        caption(figure, spec, folder, found, drawn, *same)
        return style.save(figure, out, spec.name)


def _cell(axes, after, before, ways, first):
    style.accuracy_axes(axes, after[0]["x"], 1 / ways, first)
    for entry in before:
        style.baseline(axes, entry)
    for entry in after:
        style.curve(axes, entry)


def _row_title(row, title, users):
    """Put a title over a whole row, above the columns' own where ``users`` names them."""
    for number, axes in enumerate(row):  # the lines make room that the long title, outside the layout, fills
        axes.set_title(f"\nuser {users[number]}" if users else " ")
    over = row[0].set_title(f"{title}\n" if users else title, loc="left")
    over.set_in_layout(False)


def _get(folder, document, user, metric, head, split):
    return source.find(folder, document, user=user, metric=metric, head=head, split=split)


def _users(folder, found):
    users = {entry["user"] for document in found.values() for entry in document["curves"]} - {None}
    if not users:
        raise ResultError(f"the results in {folder} have no curves of single users: run them again")
    return sorted(users)


def _ways(found):
    return next(iter(found.values()))["config"]["meta_learning"]["ways"]


def legend(figure, lines):
    """Put a legend above all panels."""
    figure.legend(handles=lines, loc="outside upper center", ncols=3, frameon=False, handlelength=2.4)


def caption(figure, spec, folder, found, curves, *more):
    """Say below all panels what was run on what, with which intervals."""
    words = source.provenance_words(folder, found)
    done = source.done_words(spec, found)
    text = "; ".join([words[0], *done, words[1], source.interval_words(curves, _LABELS), *more, *words[2:]])
    style.caption(figure, text + ".")
