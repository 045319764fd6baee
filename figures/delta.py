"""The delta curve: accuracies after the defence's fine-tuning against delta, and against what delta mixes."""

import textwrap

from figures import source, style
from figures.layouts import AFTER_PRETRAINING, caption, legend
from tfmeta.errors import ResultError


def draw(spec, folder, out):
    """Draw a panel a case; on top of each, the ratio of trained to random weights. See ``FigureSpec.draw``."""
    found = source.documents(folder, spec.name, spec.experiment, spec.cases, spec.datasets)
    ways = next(iter(found.values()))["config"]["meta_learning"]["ways"]
    drawn = []
    with style.page(3.3) as figure:
        for axes, (case, document) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
            after, before = (
                [
                    source.find(folder, document, user=None, metric=metric, head=spec.head, split=split)
                    for metric in metrics
                ]
                for split, metrics in (("after", style.LOOKS), ("before", style.BACKDOORS))
            )
            style.accuracy_axes(axes, after[0]["x"], 1 / ways, first=case == spec.cases[0])
            for entry in before:
                style.baseline(axes, entry)
            for entry in after:
                style.curve(axes, entry)
            axes.set_xlabel(r"share of the trained weights, $\delta$")
            _ratios(axes, after[0]["x"], document, folder)
            title = "\n".join(textwrap.wrap(f"({case}) {AFTER_PRETRAINING[case]}", 32))
            axes.set_title(title, loc="left", fontsize=7.4)
            drawn += after + before
        legend(figure, [*style.handles(style.LOOKS), style.baseline_handle(), style.chance_handle(ways)])
        caption(figure, spec, folder, found, drawn)
        return style.save(figure, out, spec.name)


def _ratios(axes, deltas, document, folder):
    """Put the norm ratio at each second delta on an axis above the panel."""
    ratios = document.get("measurements", {}).get("ratios", [])
    if len(ratios) != len(deltas):
        raise ResultError(
            f"{folder}/{document['experiment']}-{document['case']}.json: no norm ratio for each delta: run it again"
        )
    top = axes.secondary_xaxis("top")
    shown = range(1, len(deltas), 2)
    labels = ["∞" if ratios[i] is None else f"{ratios[i]:.2g}" for i in shown]
    top.set_xticks([deltas[i] for i in shown], labels=labels)
    top.set_xlabel(r"ratio of norms, $\delta|\theta|\ /\ (1-\delta)|\theta_g|$")
    top.tick_params(labelsize=7)
    axes.set_xticks([deltas[i] for i in shown])
