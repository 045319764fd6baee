"""Tables, as Markdown for people and CSV for programs: the defence's parts, and run times."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from figures import style
from figures.source import Run, numbers
from tfmeta.config.cases import CASES
from tfmeta.errors import ResultError
from tfmeta.store import atomic

_HEADS = {metric: look.label for metric, look in style.LOOKS.items()}
_INTERVAL = ("mean", "low", "high")
_TIMES = ("name", "title", "unit", "total", "done", "seconds", "minutes", "extrapolated", "paper_minutes")


def ablation(full: Run, out: Path) -> list[Path]:
    """Write the table of the defence's parts: one row per change and iteration; see `FigureSpec.draw`.

    The documents of `ablation-full` name the experiments that are the rows.
    """
    names = full.first.get("measurements", {}).get("rows")
    if not names:
        raise ResultError(f"{full.path('a')} does not name the table's rows: delete it and run it again")
    runs = [Run.read(full.spec, full.folder, name) for name in names]
    cells = [cell for case in full.documents for run in runs for cell in _cells(run, case)]
    defence = full.first["config"]["defence"]
    caption = full.caption(
        "accuracy in %, mean (95% interval, Student t over tasks)",
        ", ".join(f"{label} n = {n}" for label, n in numbers(cells, _HEADS).items()),
        f"full defence: matching network, delta = {defence['delta']:g}, beta starts at {defence['beta_initial']:g}, "
        f"{defence['attention_steps']} iterations of alpha and beta alone",
        f"chance is {100 / full.ways:.0f}%",
    )
    lines = ["# The defence's parts, one change at a time", "", caption]
    for case in full.documents:
        lines += ["", f"## Case ({case}): {CASES[case]}", ""]
        lines += [f"| change | iteration | {' | '.join(_HEADS.values())} |", "|---|---:|" + "---|" * len(_HEADS)]
        of_case, last = [cell for cell in cells if cell["case"] == case], None
        for start in range(0, len(of_case), len(_HEADS)):
            row, change = of_case[start : start + len(_HEADS)], of_case[start]["change"]
            shown, last = "" if change == last else change, change  # a change is named in its first row
            lines.append(f"| {shown} | {row[0]['iteration']} | {' | '.join(map(_percent, row))} |")
    return _write(out, full.stem, lines, [cell | {name: f"{cell[name]:.6g}" for name in _INTERVAL} for cell in cells])


def _percent(cell: dict[str, Any]) -> str:
    mean, low, high = (100 * cell[name] for name in _INTERVAL)
    return f"{mean:.0f} ({low:.0f} to {high:.0f})"


def _cells(run: Run, case: str) -> Iterator[dict[str, Any]]:
    """Yield the CSV's rows of a document: one per model, iteration and metric."""
    document = run.documents[case]
    title = document.get("measurements", {}).get("title", document["experiment"])
    splits = {entry["split"] for entry in document["curves"]}
    for split in ("after", "before") if "before" in splits else ("after",):
        change = title if split == "after" else f"{title}, model before the attack"
        curves = [entry for entry in document["curves"] if (entry["split"], entry["user"]) == (split, None)]
        entries = {entry["metric"]: entry for entry in curves}
        if entries.keys() != _HEADS.keys():
            raise ResultError(f"{run.path(case)} lacks curves {split} the attack: delete it and run it again")
        for place, iteration in enumerate(entries["main"]["x"]):
            for metric, entry in ((metric, entries[metric]) for metric in _HEADS):
                yield {
                    "dataset": document["dataset"], "profile": document["profile"],
                    "seed": document["config"]["meta_learning"]["seed"], "commit": document["provenance"]["commit"],
                    "case": case, "experiment": document["experiment"], "change": change,
                    "model": f"{split} the attack", "iteration": iteration, "metric": metric,
                    **{name: entry[name][place] for name in _INTERVAL}, "n": entry["n"],
                }  # fmt: skip


def runtime(run: Run, out: Path) -> list[Path]:
    """Write the table of section B for the machine that ran, beside the paper's minutes; see `FigureSpec.draw`."""
    measured = run.first.get("measurements", {})
    if not measured.get("parts"):
        raise ResultError(f"{run.path('a')} holds no run times: delete it and run it again")
    lines = [
        "# Run times", "",
        f"{run.caption('{cores} cores, rounds run by {runtime}'.format(**measured))} The paper's column is its own "
        "setting on its own machines (section B: four clients with 4 CPUs and a Nvidia T4 each, one server), so only "
        "profile paper may be compared with it.", "",
        "| part | units | minutes here | how | minutes in the paper |", "|---|---:|---:|---|---:|",
    ]  # fmt: skip
    for part in measured["parts"]:
        how = f"EXTRAPOLATED from {part['done']:g} in {part['seconds']:.0f} s" if part["extrapolated"] else "measured"
        minutes = f"{part['minutes']:.0f}" if part["minutes"] >= 10 else f"{part['minutes']:.2g}"
        units, paper = f"{part['total']:g} {part['unit']}", f"about {part['paper_minutes']}"
        lines.append(f"| {part['title']} | {units} | {minutes} | {how} | {paper} |")
    origin = {name: run.first[name] for name in ("dataset", "profile")} | {"commit": run.first["provenance"]["commit"]}
    rows = [origin | {name: part[name] for name in _TIMES} for part in measured["parts"]]
    return _write(out, run.stem, lines, rows)


def _write(out: Path, stem: str, lines: Sequence[str], rows: Sequence[dict[str, Any]]) -> list[Path]:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    paths = [out / f"{stem}.md", out / f"{stem}.csv"]
    for path, content in zip(paths, ("\n".join(lines) + "\n", text.getvalue()), strict=True):
        atomic.write_bytes(path, content.encode())
    return paths
