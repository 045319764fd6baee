"""How every figure looks: colours, bands, legend, caption, files.

The colours are the paper's. Purple and blue, or any two colours in a grey print, may look alike to a reader, so each
curve also has a lightness and a marker of its own.
"""

import contextlib
import dataclasses
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
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
    """A metric's label, colour and marker."""

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
_DASH, _INTERVAL = 3.0, ("mean", "low", "high")

_SETTINGS = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7,
    "legend.fontsize": 7.4, "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "pdf.fonttype": 42,
}  # fmt: skip


@contextlib.contextmanager
def page(height: float, layout: str | None = "constrained") -> Iterator[Figure]:
    """Yield an empty figure of `WIDTH` x `height` inches; the reader's matplotlibrc does not change it."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        figure = Figure(figsize=(WIDTH, height), layout=layout)
        FigureCanvasAgg(figure)  # draws without a screen
        yield figure


def accuracy_axes(axes: Axes, x: Sequence[float], chance: float | None, first: bool) -> None:
    """Prepare a panel: 0 to 100 percent, all of `x`, grid and chance level (in [0, 1]); labels only if `first`."""
    pad = 0.03 * (max(x) - min(x) or 1)
    axes.set_xlim(min(x) - pad, max(x) + pad)
    axes.set_ylim(-3, 103)
    axes.set_yticks([0, 25, 50, 75, 100], labels=None if first else [""] * 5)
    axes.set_ylabel("accuracy (%)" if first else "")
    axes.grid(axis="y", color="0.9", linewidth=0.5, zorder=0)
    if chance is not None:
        axes.axhline(100 * chance, color="0.55", linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)


def curve(axes: Axes, entry: Mapping[str, Any]) -> None:
    """Draw a curve of a result after the attack: mean, markers, and its interval as a band.

    The curves place their markers in turns, above all lines, so curves that coincide can still be seen.
    """
    look, turn = LOOKS[entry["metric"]], list(LOOKS).index(entry["metric"])
    x, (mean, low, high) = entry["x"], ([100 * value for value in entry[name]] for name in _INTERVAL)
    axes.fill_between(x, low, high, color=look.color, alpha=0.16, linewidth=0, zorder=1.5)
    axes.plot(x, mean, color=look.color, linewidth=1.1, zorder=2 + turn / 10)
    apart = max(1, round(len(x) / 16))
    axes.plot(
        x, mean, color=look.color, linewidth=0, marker=look.marker, markersize=3.3, markeredgewidth=0.4,
        markeredgecolor="white", markevery=(turn * apart % len(x), len(LOOKS) * apart), zorder=3,
    )  # fmt: skip


def baseline(axes: Axes, entry: Mapping[str, Any]) -> None:
    """Draw a backdoor curve before the attack as thin dashes; the second metric's lie in the gaps of the first's."""
    look = LOOKS[entry["metric"]]
    start = _DASH * BACKDOORS.index(entry["metric"])
    mean, dashes = [100 * value for value in entry["mean"]], (start, (_DASH, _DASH))
    axes.plot(entry["x"], mean, color=look.color, linewidth=0.8, linestyle=dashes, zorder=1.8)


def handles(metrics: Iterable[str]) -> list[Line2D]:
    """Return legend handles (with labels) of metrics' curves, in the paper's order."""
    looks = [look for name, look in LOOKS.items() if name in metrics]
    drawn = dict(markersize=3.6, markeredgewidth=0, linewidth=1.1)
    return [Line2D([], [], color=look.color, marker=look.marker, label=look.label, **drawn) for look in looks]


def baseline_handle() -> Line2D:
    """Return the legend handle (with label) of the backdoor curves before the attack."""
    dashes = (0, (_DASH, _DASH))
    return Line2D([], [], color="0.35", linewidth=0.8, linestyle=dashes, label="backdoor before the attack")


def chance_handle(ways: int) -> Line2D:
    """Return the legend handle (with label) of the chance level."""
    return Line2D([], [], color="0.55", linewidth=0.8, linestyle=(0, (1, 1.5)), label=f"chance (1 of {ways} classes)")


def caption(figure: Figure, text: str) -> None:
    """Put small lines of text below everything else, and keep the panels above them."""
    height = figure.get_figheight()
    look = dict(fontsize=_SMALL, color="0.15", va="bottom", linespacing=_LEADING, parse_math=False)
    figure.text(_EDGE / WIDTH, _EDGE / height, "\n".join(_lines(text)), **look)
    if figure.get_layout_engine() is not None:
        below = caption_height(text) / height
        figure.get_layout_engine().set(rect=(0, below, 1, 1 - below))


def caption_height(text: str) -> float:
    """Return how many inches of the page `caption` takes for a text."""
    return len(_lines(text)) * _LEADING * _SMALL * 1.17 / 72 + 2 * _EDGE


def _lines(text: str) -> list[str]:
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


def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """Write `<out>/<name>.pdf` and `.png` atomically; return their paths.

    Raises:
        StorageError: the disk refuses.
    """
    paths = []
    for kind, metadata in (("pdf", {"CreationDate": None}), ("png", {})):  # no date: the same figure, the same bytes
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=220, metadata=metadata)
        paths.append(out / f"{name}.{kind}")
        atomic.write_bytes(paths[-1], buffer.getvalue())
    return paths
