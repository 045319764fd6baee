"""What the tests of figures look up: a caption, a panel's lines, a stored curve."""

from figures import style
from tfmeta.store import results

PARTS = (
    "full", "no-defence", "softmax-head", "no-mix", "no-fine-tuning", "one-phase", "gates-fixed", "beta-1", "beta-100",
    "head-rate-x10",
)  # fmt: skip
ABLATIONS = [f"ablation-{part}" for part in PARTS]


def caption(figure):
    return figure.texts[-1].get_text().replace("\n", " ")


def lines_of(axes, metric, dashed=False):
    """Return the lines of a metric in a panel: its curve, or its baseline."""
    return [
        line
        for line in axes.lines
        if line.get_color() == style.LOOKS[metric].color
        and line.is_dashed() == dashed
        and line.get_marker() in (None, "None", "")
    ]


def entry(folder, case, user, metric, split="after", experiment="fine_tuning"):
    document = results.read(results.path_of(folder, experiment, case))
    (found,) = [
        curve
        for curve in document["curves"]
        if (curve["user"], curve["metric"], curve["split"]) == (user, metric, split)
    ]
    return found
