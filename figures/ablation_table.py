"""The table of the defence's parts: markdown for people, csv for programs (experiment ``ablation``)."""

import csv
import io

from figures import source, style
from tfmeta.config.cases import CASES
from tfmeta.errors import ResultError
from tfmeta.store import atomic

_HEADS = {metric: look.label for metric, look in style.LOOKS.items()}


def write(spec, folder, out):
    """Write ``<out>/ablation-table.md`` and ``.csv``; return their paths. See ``FigureSpec.draw``."""
    first = source.documents(folder, spec.name, "ablation-full", spec.cases, spec.datasets)
    names = next(iter(first.values()))["measurements"]["rows"]
    found = {name: source.documents(folder, spec.name, name, spec.cases, spec.datasets) for name in names}
    rows = [row for case in spec.cases for experiment in found for row in _rows(found[experiment][case], case)]
    counts = {metric: {row["entries"][metric]["n"] for row in rows} for metric in _HEADS}
    paths = [out / f"{spec.name}.{kind}" for kind in ("md", "csv")]
    atomic.write_bytes(paths[0], _markdown(folder, first, rows, counts).encode())
    atomic.write_bytes(paths[1], _csv(first, rows).encode())
    return paths


def _rows(document, case):
    """Yield {case, experiment, change, split, place, iteration, entries by metric} of a document."""
    title, splits = document["measurements"]["title"], {entry["split"] for entry in document["curves"]}
    for split in ("after", "before"):
        if split == "before" and split not in splits:
            continue
        change = title if split == "after" else f"{title}, model before the attack"
        entries = {
            entry["metric"]: entry for entry in document["curves"] if (entry["split"], entry["user"]) == (split, None)
        }
        if entries.keys() != _HEADS.keys():
            raise ResultError(
                f"{document['experiment']}-{case}.json lacks curves {split} the attack: delete it and run it again"
            )
        for place, iteration in enumerate(entries["main"]["x"]):
            yield {
                "case": case, "experiment": document["experiment"], "change": change, "split": split, "place": place,
                "iteration": iteration, "entries": entries,
            }  # fmt: skip


def _markdown(folder, found, rows, counts):
    name, profile, *rest = source.provenance_words(folder, found)
    config = next(iter(found.values()))["config"]
    sizes = ", ".join(f"{_HEADS[metric]} n = {_numbers(sizes)}" for metric, sizes in counts.items())
    lines = [
        "# The defence's parts, one change at a time",
        "",
        f"{name}; {profile}. Accuracy in %, mean (95% interval, Student t over tasks); {sizes}. The full defence: "
        f"matching network, delta = {config['defence']['delta']:g}, beta starts at {config['defence']['beta_initial']:g}, "
        f"{config['defence']['attention_steps']} iterations of alpha and beta alone. Chance is {100 / config['meta_learning']['ways']:.0f}%. "
        f"{'; '.join(rest)}.",
    ]
    for case in found:
        lines += ["", f"## Case ({case}): {CASES[case]}", ""]
        lines += [f"| change | iteration | {' | '.join(_HEADS.values())} |", "|---|---:|" + "---|" * len(_HEADS)]
        for row in rows:
            if row["case"] == case:
                cells = " | ".join(_cell(row["entries"][metric], row["place"]) for metric in _HEADS)
                lines.append(f"| {row['change'] if row['place'] == 0 else ''} | {row['iteration']} | {cells} |")
    return "\n".join(lines) + "\n"


def _cell(entry, place):
    mean, low, high = (100 * entry[name][place] for name in ("mean", "low", "high"))
    return f"{mean:.0f} ({low:.0f} to {high:.0f})"


def _csv(found, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["dataset", "profile", "seed", "commit", "case", "experiment", "change", "model", "iteration", "metric", "mean",
         "low", "high", "n"]
    )  # fmt: skip
    first = next(iter(found.values()))
    run = [first["dataset"], first["profile"], first["config"]["meta_learning"]["seed"], first["provenance"]["commit"]]
    for row in rows:
        for metric in _HEADS:
            entry, place = row["entries"][metric], row["place"]
            numbers = [f"{entry[name][place]:.6g}" for name in ("mean", "low", "high")]
            writer.writerow(
                [*run, row["case"], row["experiment"], row["change"], f"{row['split']} the attack", row["iteration"],
                 metric, *numbers, entry["n"]]
            )  # fmt: skip
    return text.getvalue()


def _numbers(sizes):
    return " to ".join(str(size) for size in sorted({min(sizes), max(sizes)}))
