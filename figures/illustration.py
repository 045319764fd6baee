"""Pictures of the attack: figure 1 (and 2), in the paper's four parts."""

import numpy as np

from figures import source, style
from tfmeta.errors import ResultError
from tfmeta.store import results

_PARTS = {  # array -> title
    "target": "(a) target class",
    "backdoor": "(b) backdoor classes",
    "trigger": "(c) backdoor key",
    "attack_training": "(d) attack training set",
}
_LEFT, _RIGHT = ("target", "backdoor", "trigger"), ("attack_training",)
_COLUMNS, _ROWS = 5, 4  # most pictures of a part; the title says how many there are
_EDGE, _GUTTER, _TITLE = 0.06, 0.3, 0.22  # inches
_CELL = (style.WIDTH - 2 * _EDGE - _GUTTER) / (2 * _COLUMNS)


def pictures(spec, folder, out):
    """Draw target class, backdoor classes, key and attack training set; return the paths of the files.

    The npz beside the document holds ``target``, ``backdoor``, ``attack_training`` (uint8 [n, H, W, C]) and
    ``trigger`` ([H, W, C] or [1, H, W, C], keyed picture minus unkeyed). One channel is ink, drawn dark on
    white. Raises ``ResultError`` and ``StorageError`` as ``FigureSpec.draw`` says.
    """
    found = source.documents(folder, spec.name, spec.experiment, spec.cases, spec.datasets)
    path = results.path_of(folder, spec.experiment, "a")
    sheets = {part: _part(path, found["a"], part, array) for part, array in _read(path).items()}
    text = "; ".join(source.provenance_words(folder, found)) + "."
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
        return style.save(figure, out, spec.name)


def _read(path):
    values = results.read_values(path)
    missing = [part for part in _PARTS if part not in values]
    if missing:
        raise ResultError(f"{path} has no pictures named {', '.join(missing)}. Delete it and run it again")
    return {part: values[part] for part in _PARTS}


def _part(path, document, part, array):
    """Return (picture of a part uint8 [H, W, 3], its rows, its title)."""
    array = array[None] if part == "trigger" and array.ndim == 3 else array
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or not array.size:
        raise ResultError(f"{path}: pictures {part!r} have the shape {array.shape}, not [n, H, W, 1 or 3]")
    array = np.clip(array, 0, 255).astype(np.uint8)  # of a difference, what the key adds
    about = document["images"][part]
    rows = _rows(about.get("names", ()), array)
    shown, there = sum(len(row) for row in rows), about.get("of", len(array))
    title = _PARTS[part] if shown == there else f"{_PARTS[part]} ({shown} of {there} pictures)"
    return _sheet(rows), len(rows), title


def _rows(names, array):
    """Return lists of pictures, one a row: a class a row where there are several and each has several."""
    classes = list(dict.fromkeys(names))
    if len(names) == len(array) and 1 < len(classes) < len(array):
        of_class = [[picture for name, picture in zip(names, array, strict=True) if name == wanted]
                    for wanted in classes]  # fmt: skip
        return [row[:_COLUMNS] for row in of_class[:_ROWS]]
    return [list(array[start : start + _COLUMNS]) for start in range(0, len(array), _COLUMNS)][:_ROWS]


def _sheet(rows):
    """Lay pictures out on white, each in a thin grey frame, ``_COLUMNS`` cells a row filled or not."""
    height, width, channels = rows[0][0].shape
    edge = max(1, height // 28)
    sheet = np.full((len(rows) * (height + 2 * edge), _COLUMNS * (width + 2 * edge), 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            cell = sheet[y * (height + 2 * edge) :, x * (width + 2 * edge) :]
            cell[: height + 2 * edge, : width + 2 * edge] = 220
            cell[edge : edge + height, edge : edge + width] = 255 - picture if channels == 1 else picture
    return sheet
