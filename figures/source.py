"""What a figure is drawn from: the documents of one run, and what its caption has to say about them."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from figures import FigureSpec, plugin_words
from tfmeta import registry
from tfmeta.config import PROFILE_NAMES, fields, make_config, tag_of
from tfmeta.config.tags import short_name
from tfmeta.errors import ConfigError, ResultError
from tfmeta.store import npz, results
from tfmeta.store.compare import differences

_FOLDER = re.compile(rf"(.+?)-({'|'.join(PROFILE_NAMES)})(?:-(.+))?")  # data set, profile, tag

@dataclasses.dataclass(frozen=True)
class Run:
    """The documents of one experiment, by case, that a figure is drawn from; all are of the run in `folder`."""

    spec: FigureSpec
    folder: Path
    documents: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, spec: FigureSpec, folder: Path, experiment: str | None = None) -> "Run":
        """Read an experiment, by default the figure's own; raises `ResultError` as `FigureSpec.draw` does."""
        name, found = experiment or spec.experiments[0].replace("*", "full"), {}
        for case in spec.cases:
            path = results.path_of(folder, name, case)
            if not npz.exists(path):
                raise ResultError(f"{path} is missing: {_command(folder, spec.name, name, case)}")
            found[case] = document = results.read(path)
            if not spec.is_drawn_from(document["dataset"]):
                known = " or ".join(spec.datasets)
                raise ResultError(f"{path} is of the data set {document['dataset']}; {spec.name} is drawn from {known}")
            odd = differences(_identity(found[spec.cases[0]]), _identity(document))
            if odd:
                first = f"case {spec.cases[0]} ({'; '.join(odd)})"
                raise ResultError(f"{path} is of another run than {first}: delete one of the two and run it again")
        return cls(spec, folder, found)

    @property
    def first(self) -> dict[str, Any]:
        """The document of the first case."""
        return self.documents[self.spec.cases[0]]

    @property
    def head(self) -> str:
        """The head whose curves are drawn: the figure's own, or that of the defence which the run names."""
        if plugin_words.own_defence(self.first) or not self.first["curves"]:
            return self.spec.head
        return self.first["curves"][0]["head"]

    @property
    def ways(self) -> int:
        """The number of classes of a task."""
        return self.first["config"]["meta_learning"]["ways"]

    @property
    def stem(self) -> str:
        """The name of the figure's files without ending; it holds what is not the default (`FigureSpec.draw`)."""
        about = ((self.first["dataset"], self.spec.about[0]), (self.first["profile"], "quick"))
        words = [value for value, default in about if value != default]
        return "-".join(filter(None, [self.spec.name, *words, tag_of(self.first["changed"])]))

    def path(self, case: str) -> Path:
        """Return the path of a document."""
        return results.path_of(self.folder, self.first["experiment"], case)

    def curve(self, case: str, user: int | None, metric: str, split: str = "after") -> dict[str, Any]:
        """Return a user's curve, or the one that is the same for all users; raises `ResultError` if there is none."""
        for entry in self.documents[case]["curves"]:
            same = (entry["metric"], entry["head"], entry["split"]) == (metric, self.head, split)
            if same and entry["user"] in (user, None):
                return entry
        wanted = f"{metric}, head {self.head}, {split} the attack" + ("" if user is None else f", user {user}")
        raise ResultError(f"{self.path(case)} has no curve of {wanted}: delete it and run it again")

    def caption(self, *measured: str) -> str:
        """Return the caption: data set, what was done, profile, `measured`, seed, commit and notes."""
        config = self.first["config"]
        flat = {f"{group}.{name}": value for group, values in config.items() for name, value in values.items()}
        # An experiment may set a field itself, whatever value the run has; the figure is then not of the run's value.
        holds = {name: value for name, value in self.first["changed"].items() if flat.get(name) == value}
        named = plugin_words.named(self.first)
        defence = named.pop("defences", None) or self.spec.says.format(**config)
        holds = {name: value for name, value in holds.items() if name not in plugin_words.fields_of(self.first)}
        dataset, profile = run_words(self.first["dataset"], self.first["profile"], holds)
        done = [part for part in (defence + self.spec.also.format(**config), *named.values()) if part]
        code = sorted({document["provenance"]["commit"] for document in self.documents.values()})
        commits = ", ".join(one if one == "unknown" else one[:7] + one[40:] for one in code)
        notes = sorted({note for document in self.documents.values() for note in document.get("notes", ())})
        notes += self._of_other_code()
        seed = f"seed {config['meta_learning']['seed']}"
        return "; ".join([dataset, *done, profile, *measured, seed, f"commit {commits}", *notes]) + "."

    def _of_other_code(self) -> list[str]:
        """Return what has to be said of documents that rest on other code than theirs, or on code that is unknown."""
        every = self.documents.items()
        kept = [case for case, document in every if "kept" in document["provenance"]]
        # a document from before code was recorded has no code of its own either
        unknown = [case for case, document in every if "unrecorded" in document["provenance"] or "code" not in document]
        said = {
            "stored files of other code were kept (provenance names them)": kept,
            "the code that computed some stored files is not recorded": unknown,
        }
        return [words + self._in_cases(cases) for words, cases in said.items() if cases]

    def _in_cases(self, cases: list[str]) -> str:
        return "" if len(cases) == len(self.documents) else f", in case ({') and ('.join(cases)})"


def run_words(dataset: str, profile: str, changed: Mapping[str, Any] | None = None) -> list[str]:
    """Return a run's data set and its profile in words.

    Args:
        dataset: The data set's name; the words say what a stand-in or a data set of one's own is not.
        profile: The profile's name.
        changed: The fields, by full name, in which the run differs from its profile.
    """
    words = f"profile {profile}" + ("" if profile == "paper" else " (reduced: smaller than the paper's experiment)")
    if changed:
        values = [f"{short_name(name)} = {value}{_plain(dataset, profile, name)}" for name, value in changed.items()]
        words += f" with {', '.join(values)}"
    about = "" if registry.is_of_paper(dataset) else " (not a data set of the paper)"
    return [registry.display_name(dataset) + about, words]


def interval_words(curves: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> str:
    """Return what the bands and n of curves are, with a label for each metric if their n differ."""
    groups: dict[str, list[str]] = {}
    for label, size in numbers(curves, labels).items():
        groups.setdefault(size, []).append(label)
    words = [f"{size} tasks ({', '.join(names)})" for size, names in groups.items()]
    n = words if len(groups) > 1 else [f"{next(iter(groups))} tasks per curve"]
    return f"mean and 95% interval (Student t over tasks), n = {', '.join(n)}"


def numbers(curves: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> dict[str, str]:
    """Return the number of tasks of curves by their metric's label, such as "30" or "10 to 30"."""
    found: dict[str, set[int]] = {}
    for entry in curves:
        found.setdefault(labels[entry["metric"]], set()).add(entry["n"])
    return {label: " to ".join(str(n) for n in sorted({min(sizes), max(sizes)})) for label, sizes in found.items()}


def _plain(dataset: str, profile: str, name: str) -> str:
    """Return the profile's own value of a field in words; nothing if this version does not know it."""
    try:
        own = make_config(dataset, profile)[name] if name in fields() else ""
        return f" (profile: {own})" if own != "" else ""
    except ConfigError:
        return ""


def _identity(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is the same in all documents that one figure is drawn from."""
    digest, config = document["provenance"]["data_digest"], document["config"]
    return {"data set": document["dataset"], "profile": document["profile"], "data digest": digest, **config}


def _command(folder: Path, figure: str, experiment: str, case: str) -> str:
    place = _FOLDER.fullmatch(folder.name)
    if place is None:
        return f"run `make {figure}`, or `tfmeta run {experiment} --case {case}`, for this folder"
    dataset, profile, tag = place.groups()
    command = f"tfmeta run {experiment} --dataset {dataset} --profile {profile} --case {case}"
    tagged = f" (with the --seed and --set of {tag!r})" if tag else ""
    return f"run `make {figure} DATASET={dataset} PROFILE={profile}`, or `{command}`{tagged}"
