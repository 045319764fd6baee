"""Section B's table for the machine that ran: minutes beside the paper's, markdown and csv (experiment ``runtime``)."""

import csv
import io

from figures import source
from tfmeta.errors import ResultError
from tfmeta.store import atomic


def write(spec, folder, out):
    """Write ``<out>/<name>.md`` and ``.csv``; return their paths. See ``FigureSpec.draw``."""
    found = source.documents(folder, spec.name, spec.experiment, spec.cases, spec.datasets)
    document = found["a"]
    parts = document.get("measurements", {}).get("parts")
    if not parts:
        raise ResultError(f"{folder}/runtime-a.json holds no run times: delete it and run it again")
    paths = [out / f"{spec.name}.{kind}" for kind in ("md", "csv")]
    atomic.write_bytes(paths[0], _markdown(folder, found, document["measurements"]).encode())
    atomic.write_bytes(paths[1], _csv(document, parts).encode())
    return paths


def _markdown(folder, found, measured):
    name, profile, *rest = source.provenance_words(folder, found)
    lines = [
        "# Run times",
        "",
        f"{name}; {profile}; {measured['cores']} cores, rounds run by {measured['runtime']}; {'; '.join(rest)}. The "
        "paper's column is its own setting on its own machines (section B: four clients with 4 CPUs and a Nvidia T4 "
        "each, one server), so only profile paper may be compared with it.",
        "",
        "| part | units | minutes here | how | minutes in the paper |",
        "|---|---:|---:|---|---:|",
    ]
    for part in measured["parts"]:
        how = "measured"
        if part["extrapolated"]:
            how = f"EXTRAPOLATED from {part['done']:g} in {part['seconds']:.0f} s"
        lines.append(
            f"| {part['title']} | {part['total']:g} {part['unit']} | {_minutes(part['minutes'])} | {how} | about "
            f"{part['paper_minutes']} |"
        )
    return "\n".join(lines) + "\n"


def _csv(document, parts):
    text = io.StringIO()
    columns = ["name", "title", "unit", "total", "done", "seconds", "minutes", "extrapolated", "paper_minutes"]
    writer = csv.DictWriter(text, ["dataset", "profile", "commit", *columns], lineterminator="\n")
    writer.writeheader()
    run = {
        "dataset": document["dataset"], "profile": document["profile"], "commit": document["provenance"]["commit"],
    }  # fmt: skip
    for part in parts:
        writer.writerow({**run, **{column: part[column] for column in columns}})
    return text.getvalue()


def _minutes(value):
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
