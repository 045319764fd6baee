"""How every figure looks: colours, bands, legend, caption, files.

The colours are the paper's. Purple and blue, or any two in a grey print, may look alike to a reader, so
that each curve also has a lightness and a marker of its own.
"""

import contextlib
import dataclasses
import io

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from tfmeta.store import atomic

WIDTH = 5.0  # inches; at a column's 3.35 inches the smallest letters are still 4.4 points high
_SMALL, _LEADING = 6.6, 1.15  # caption: points, line spacing
_EDGE = 0.06  # inches around the caption


@dataclasses.dataclass(frozen=True)
class Look:
    """A metric's name for people, colour and marker."""

    label: str
    color: str
    marker: str


# CIE lightness 0, 32, 54, 68, in the order of the paper's legend
LOOKS = {
    "meta_test": Look("meta-test", "#000000", "s"),
    "main": Look("main task", "#7a1fa0", "D"),
    "backdoor_train": Look("backdoor, attack training", "#2f86d6", "o"),
    "backdoor_validation": Look("backdoor, attack validation", "#45b649", "^"),
}
BACKDOORS = ("backdoor_train", "backdoor_validation")
_DASH = 3.0

_SETTINGS = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.4,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "pdf.fonttype": 42,
}


@contextlib.contextmanager
def page(height, layout="constrained"):
    """Yield an empty figure, ``WIDTH`` x ``height`` inches, whatever matplotlibrc the reader has."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(WIDTH, height), layout=layout)
        FigureCanvasAgg(figure)  # draws without a screen
        yield figure


def accuracy_axes(axes, x, chance, first):
    """Prepare a panel: percent from 0 to 100, the whole of ``x``, grid, chance level; labels in the first."""
    pad = 0.03 * (max(x) - min(x) or 1)
    axes.set_xlim(min(x) - pad, max(x) + pad)
    axes.set_ylim(-3, 103)
    axes.set_yticks([0, 25, 50, 75, 100], labels=None if first else [""] * 5)
    axes.set_ylabel("accuracy (%)" if first else "")
    axes.grid(axis="y", color="0.9", linewidth=0.5, zorder=0)
    if chance is not None:
        axes.axhline(100 * chance, color="0.55", linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)


def curve(axes, entry):
    """Draw a curve of a result after the attack: mean, markers, and its interval as a band.

    The curves take turns with their markers, above all lines, so that those that coincide are still seen.
    """
    look, turn = LOOKS[entry["metric"]], list(LOOKS).index(entry["metric"])
    x, (mean, low, high) = entry["x"], (_percent(entry[name]) for name in ("mean", "low", "high"))
    axes.fill_between(x, low, high, color=look.color, alpha=0.16, linewidth=0, zorder=1.5)
    axes.plot(x, mean, color=look.color, linewidth=1.1, zorder=2 + turn / 10)
    apart = max(1, round(len(x) / 16))
    axes.plot(
        x, mean, color=look.color, linewidth=0, marker=look.marker, markersize=3.3, markeredgewidth=0.4,
        markeredgecolor="white", markevery=(turn * apart % len(x), len(LOOKS) * apart), zorder=3,
    )  # fmt: skip


def baseline(axes, entry):
    """Draw a backdoor curve from before the attack: thin dashes, the second kind in the first's gaps."""
    look = LOOKS[entry["metric"]]
    start = _DASH * BACKDOORS.index(entry["metric"])
    axes.plot(
        entry["x"], _percent(entry["mean"]), color=look.color, linewidth=0.8,
        linestyle=(start, (_DASH, _DASH)), zorder=1.8,
    )  # fmt: skip


def _percent(values):
    return [100 * value for value in values]


def handles(metrics):
    """Return legend handles (with labels) of metrics' curves, in the paper's order."""
    return [
        Line2D(
            [], [], color=look.color, marker=look.marker, markersize=3.6, markeredgewidth=0, linewidth=1.1,
            label=look.label,
        )
        for name, look in LOOKS.items()
        if name in metrics
    ]  # fmt: skip


def baseline_handle():
    """Return the legend handle (with label) of the backdoor curves before the attack."""
    return Line2D(
        [], [], color="0.35", linewidth=0.8, linestyle=(0, (_DASH, _DASH)), label="backdoor before the attack"
    )


def chance_handle(ways):
    """Return the legend handle (with label) of the chance level."""
    return Line2D([], [], color="0.55", linewidth=0.8, linestyle=(0, (1, 1.5)), label=f"chance (1 of {ways} classes)")


def caption(figure, text):
    """Put small lines of text below everything else, and keep the panels above them."""
    height = figure.get_figheight()
    figure.text(
        _EDGE / WIDTH, _EDGE / height, "\n".join(_lines(text)), fontsize=_SMALL, color="0.15", va="bottom",
        linespacing=_LEADING, parse_math=False,
    )  # fmt: skip
    if figure.get_layout_engine() is not None:
        below = caption_height(text) / height
        figure.get_layout_engine().set(rect=(0, below, 1, 1 - below))


def caption_height(text):
    """Return how many inches of the page ``caption`` takes for ``text``."""
    return len(_lines(text)) * _LEADING * _SMALL * 1.17 / 72 + 2 * _EDGE


def _lines(text):
    """Break a text into lines that fit the page, by the width of its letters."""
    font = FontProperties(family="DejaVu Sans", size=_SMALL)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        width, _, _ = text_to_path.get_text_width_height_descent(longer, font, ismath=False)
        if lines[-1] and width / 72 > WIDTH - 4 * _EDGE:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def save(figure, out, name):
    """Write ``<out>/<name>.pdf`` and ``.png`` atomically and return their paths.

    The same figure gives the same bytes: no date is stored. Raises ``StorageError`` where the disk refuses.
    """
    paths = []
    for kind, metadata in (("pdf", {"CreationDate": None}), ("png", {})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=220, metadata=metadata)
        paths.append(out / f"{name}.{kind}")
        atomic.write_bytes(paths[-1], buffer.getvalue())
    return paths
