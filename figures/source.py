"""What a figure is drawn from: the documents of a run's folder, and what they oblige the caption to say."""

import re
import types

from tfmeta import registry
from tfmeta.errors import ResultError
from tfmeta.store import results

_FOLDER = re.compile(r"(?P<dataset>.+?)-(?P<profile>smoke|quick|desk|paper)(-(?P<tag>.+))?")


def documents(folder, figure, experiment, cases, datasets):
    """Return case -> document of an experiment, all of one run.

    Raises ``ResultError`` where one is missing (naming the file and the command that computes it), damaged,
    of a data set that the figure is not about, or of another configuration or data than the first.
    """
    found, first = {}, None
    for case in cases:
        path = results.path_of(folder, experiment, case)
        if not path.exists():
            raise ResultError(f"{path} is missing: {_command(folder, figure, experiment, case)}")
        found[case] = document = results.read(path, config=first and first["config"])
        if document["dataset"] not in datasets:
            raise ResultError(
                f"{path} is of the data set {document['dataset']}; {figure} is drawn from {' or '.join(datasets)}"
            )
        first = first or document
        _same_run(path, first, document)
    return found


def find(folder, document, *, user, metric, head, split):
    """Return the curve of a document; raise ``ResultError``, which says which one, where it has none.

    A curve that does not depend on the user (``user`` null) stands for every user.
    """
    for entry in document["curves"]:
        if entry["user"] in (user, None) and (entry["metric"], entry["head"], entry["split"]) == (
            metric, head, split,
        ):  # fmt: skip
            return entry
    who = "" if user is None else f" of user {user}"
    path = results.path_of(folder, document["experiment"], document["case"])
    raise ResultError(f"{path} has no curve{who} for {metric}, head {head}, {split} the attack: run it again")


def provenance_words(folder, found):
    """Return the part of a caption that says what was run: data set, profile, seed, code."""
    documents = list(found.values())
    first = documents[0]
    commits = sorted({_short(document["provenance"]["commit"]) for document in documents})
    notes = sorted({note for document in documents for note in document.get("notes", ())})
    return [
        *run_words(first["dataset"], first["profile"], first["changed"]),
        f"seed {first['config']['meta_learning']['seed']}",
        f"commit {', '.join(commits)}",
        *notes,
    ]


def run_words(dataset, profile, changed=None):
    """Return what to call a run's data set, a stand-in by its name, and its profile, with the fields that differ."""
    words = f"profile {profile}"
    if profile != "paper":
        words += " (reduced: smaller than the paper's experiment)"
    if changed:  # a run whose fields are not all the profile's is not the profile's run
        words += " with " + ", ".join(f"{name} = {value}" for name, value in changed.items())
    return [registry.display_name(dataset), words]


def done_words(spec, found):
    """Return what was done, as a list of at most one phrase: ``spec.says`` with the configuration's values."""
    config = next(iter(found.values()))["config"]
    groups = {group: types.SimpleNamespace(**fields) for group, fields in config.items()}
    return [spec.says.format(**groups)] if spec.says else []


def interval_words(curves, labels):
    """Return what bands and n are: one number where all curves agree, else each metric's own."""
    counts = {}
    for entry in curves:
        counts.setdefault(labels[entry["metric"]], set()).add(entry["n"])
    groups = {}
    for label, sizes in counts.items():
        groups.setdefault(_range(sizes), []).append(label)
    words = "mean and 95% interval (Student t over tasks), n = "
    if len(groups) == 1:
        return words + f"{next(iter(groups))} tasks a curve"
    return words + ", ".join(f"{size} tasks ({', '.join(names)})" for size, names in groups.items())


def _command(folder, figure, experiment, case):
    place = _FOLDER.fullmatch(folder.name)
    if place is None:
        return f"run `make {figure}`, or `tfmeta run {experiment} --case {case}`, for this folder"
    dataset, profile = place["dataset"], place["profile"]
    tagged = f" (with the --seed and --set of {place['tag']!r})" if place["tag"] else ""
    return (
        f"run `make {figure} DATASET={dataset} PROFILE={profile}`, or "
        f"`tfmeta run {experiment} --dataset {dataset} --profile {profile} --case {case}`{tagged}"
    )


def _same_run(path, first, document):
    for name, a, b in (
        ("data set", first["dataset"], document["dataset"]),
        ("profile", first["profile"], document["profile"]),
        ("data digest", first["provenance"]["data_digest"], document["provenance"]["data_digest"]),
    ):
        if a != b:
            raise ResultError(f"{path} is of another run: its {name} is {b}, that of case {first['case']} is {a}")


def _short(commit):
    return commit if commit == "unknown" else commit[:7] + commit[40:]


def _range(sizes):
    return str(min(sizes)) if len(sizes) == 1 else f"{min(sizes)} to {max(sizes)}"
