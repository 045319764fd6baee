"""Figures 1 and 2: the images of the attack, in the paper's four parts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from figures import style
from figures.source import Run
from tfmeta.errors import ResultError
from tfmeta.store import results

_PARTS = {  # array -> title
    "target": "(a) target class",
    "backdoor": "(b) backdoor classes",
    "trigger": "(c) trigger",
    "attack_training": "(d) attack training set",
}
_LEFT, _RIGHT = ("target", "backdoor", "trigger"), ("attack_training",)
_COLUMNS, _ROWS = 5, 4  # the most images of a part that are shown; the title says how many there are
_EDGE, _GUTTER, _TITLE = 0.06, 0.3, 0.22  # inches
_CELL = (style.WIDTH - 2 * _EDGE - _GUTTER) / (2 * _COLUMNS)


def draw(run: Run, out: Path) -> list[Path]:
    """Draw target class, backdoor classes, trigger and attack training set; see `FigureSpec.draw`.

    The npz file beside the document holds `target`, `backdoor` and `attack_training` (uint8 [n, H, W, C]) and `trigger`
    ([H, W, C] or [1, H, W, C], a triggered image minus the plain one). One channel is ink, drawn dark on white.
    """
    values, text = results.read_values(run.path("a")), run.caption()
    missing = [part for part in _PARTS if part not in values]
    if missing:
        raise ResultError(f"{run.path('a')} has no images named {', '.join(missing)}: delete it and run it again")
    sheets = {part: _part(run, part, values[part]) for part in _PARTS}
    height = max(sum(_TITLE + sheets[part][1] * _CELL for part in side) for side in (_LEFT, _RIGHT))
    total = height + _EDGE + style.caption_height(text)
    with style.page(total, layout=None) as figure:
        for side, left in ((_LEFT, _EDGE), (_RIGHT, _EDGE + _COLUMNS * _CELL + _GUTTER)):
            top = total - _EDGE
            for part in side:
                sheet, rows, title = sheets[part]
                top -= _TITLE + rows * _CELL
                box = (left / style.WIDTH, top / total, _COLUMNS * _CELL / style.WIDTH, rows * _CELL / total)
                axes = figure.add_axes(box)
                axes.imshow(sheet, interpolation="none", aspect="auto")
                axes.set_title(title, loc="left", pad=3)
                axes.set_axis_off()
        style.caption(figure, text)
        return style.save(figure, out, run.stem)


def _part(run: Run, part: str, array: np.ndarray) -> tuple[np.ndarray, int, str]:
    """Return the sheet of a part (uint8 [H, W, 3]), its number of rows, and its title."""
    array = array[None] if part == "trigger" and array.ndim == 3 else array
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or not array.size:
        raise ResultError(f"{run.path('a')}: images {part!r} have the shape {array.shape}, not [n, H, W, 1 or 3]")
    array = np.clip(array, 0, 255).astype(np.uint8)  # of a difference, what the trigger adds
    about = run.documents["a"]["images"][part]
    rows = _rows(about.get("names", ()), array)
    shown, there = sum(len(row) for row in rows), about.get("of", len(array))
    title = _PARTS[part] if shown == there else f"{_PARTS[part]} ({shown} of {there} images)"
    return _sheet(rows), len(rows), title


def _rows(names: Sequence[str], array: np.ndarray) -> list[Any]:
    """Return rows of images: one row per class if there are several classes of several images each."""
    classes = list(dict.fromkeys(names))
    if len(names) == len(array) and 1 < len(classes) < len(array):
        of_class = [[image for name, image in zip(names, array, strict=True) if name == wanted] for wanted in classes]
        return [row[:_COLUMNS] for row in of_class[:_ROWS]]
    return [list(array[start : start + _COLUMNS]) for start in range(0, len(array), _COLUMNS)][:_ROWS]


def _sheet(rows: list[Any]) -> np.ndarray:
    """Lay images out on white, each in a thin grey frame; a row has `_COLUMNS` cells, and some may be empty."""
    height, width, channels = rows[0][0].shape
    edge = max(1, height // 28)
    sheet = np.full((len(rows) * (height + 2 * edge), _COLUMNS * (width + 2 * edge), 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            cell = sheet[y * (height + 2 * edge) :, x * (width + 2 * edge) :]
            cell[: height + 2 * edge, : width + 2 * edge] = 220
            cell[edge : edge + height, edge : edge + width] = 255 - image if channels == 1 else image
    return sheet
