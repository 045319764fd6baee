"""What results and measurements were computed from: the configuration, the data and the plug-ins that each names."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tfmeta.config import STAGES, fields, legacy
from tfmeta.errors import ResultError, TfmetaError
from tfmeta.federated.rounds import knows_backdoor
from tfmeta.inventory import folders
from tfmeta.registry import KINDS
from tfmeta.store import last_use, npz
from tfmeta.store.compare import OUTSIDE

NOT_RUNS = ("models", "logs", "bench")  # folders of a results folder that are no runs
_MISSING = object()
_STAGE_OF_GROUP = {about.group: about.stage for about in KINDS.values()}


class Origin(NamedTuple):
    """What something was computed from.

    Attributes:
        dataset: The data set's name.
        digest: The digest of its images.
        knows: Whether benign users trained on backdoor classes.
        fields: Values by full name.
        outside: The plug-ins from outside the package: entries (`name`, `code`, `options`) by kind; None where that
            is not recorded.
        users: The files of the results and measurements.
    """

    dataset: str
    digest: str
    knows: bool
    fields: dict[str, Any]
    outside: dict[str, list[dict[str, Any]]] | None
    users: Sequence[str] = ()


class Origins(NamedTuple):
    """What the documents and parts of a results folder were computed from.

    Attributes:
        known: The origins.
        unreadable: The files that cannot be read, each with the name of its run's folder.
        before: What stored fields count as that are missing, by full name.
        stages: The stage that each field decides.
    """

    known: list[Origin]
    unreadable: list[tuple[str, Path]]
    before: dict[str, Any]
    stages: dict[str, str]

    def users_of(self, model: Origin, stage: str) -> list[str]:
        """Return the files that were computed from a `stage`'s model of the origin `model`."""
        return [user for origin in self.known if self.rests_on(origin, model, stage) for user in origin.users]

    def rests_on(self, origin: Origin, model: Origin, stage: str) -> bool:
        """Return whether something of `origin` was computed from a `stage`'s model of the origin `model`."""
        if (origin.dataset, origin.digest, origin.knows) != (model.dataset, model.digest, model.knows):
            return False
        decisive = STAGES[: STAGES.index(stage) + 1]
        for name in origin.fields.keys() | model.fields.keys():
            if name not in model.fields and self._stage(name) not in decisive:
                continue
            pair = [one.fields.get(name, self.before.get(name, _MISSING)) for one in (origin, model)]
            if pair[0] is _MISSING or pair[0] != pair[1]:
                return False
        wanted = (model.outside or {}).items()
        return origin.outside is None or all(_has(origin.outside, kind, one) for kind, (one,) in wanted)

    def _stage(self, name: str) -> str:
        """Return the stage that a field decides; an option of a plug-in that is not loaded decides its kind's."""
        return self.stages.get(name) or _STAGE_OF_GROUP.get(name.partition(".")[0], "evaluation")


def find(results: Path) -> Origins:
    """Return the origins of all results and parts; `StorageError` if a folder cannot be read."""
    found: dict[str, tuple[Origin, list[str]]] = {}
    unreadable = []
    for run in folders.inside(results):
        if not run.is_folder or run.name in NOT_RUNS:
            continue
        files = [item for item in folders.inside(run.path) if item.path.suffix == ".json"]
        files += [item for item in folders.inside(run.path / "parts") if item.path.suffix == ".npz"]
        for item in files:
            read = _of_document if item.path.suffix == ".json" else _of_part
            try:
                origin = read(item.path) if item.is_file else None
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, TfmetaError):
                unreadable.append((run.name, item.path))
                continue
            if origin is not None:
                key = json.dumps(origin, sort_keys=True)
                found.setdefault(key, (origin, []))[1].append(str(item.path.relative_to(results)))
    known = [origin._replace(users=names) for origin, names in found.values()]
    stages = {name: field.metadata["stage"] for name, field in fields().items()}
    return Origins(known, unreadable, legacy.values(), stages)


def of_manifest(manifest: Mapping[str, Any]) -> Origin:
    """Return the origin that a model's manifest names; raises `KeyError` and the like if it is no model's."""
    plugins = manifest["plugins"].items() if "plugins" in manifest else None
    outside = None if plugins is None else {kind: [one] for kind, one in plugins if one["origin"] == OUTSIDE}
    given = dict(manifest["fields"])
    return Origin(manifest["dataset"], manifest["digest"], manifest["knows_backdoor"], given, outside)


def _has(outside, kind, wanted):
    """Return whether a plug-in is among those that were used; only options that all used it with are compared."""
    for entry in outside.get(kind, []):
        common = entry["options"].keys() & wanted["options"].keys()
        same = all(entry["options"][name] == wanted["options"][name] for name in common)
        if (entry["name"], entry["code"]) == (wanted["name"], wanted["code"]) and same:
            return True
    return False


def _of_document(path: Path) -> Origin | None:
    with last_use.open_unnoted(path) as file:
        document = json.loads(file.read())
    if not (isinstance(document, dict) and str(document.get("format")).startswith("tfmeta-result-")):
        return None  # of something else
    plugins = document.get("plugins")
    outside = None if plugins is None else {kind: _outside(entries) for kind, entries in plugins.items()}
    data = document["dataset"], document["provenance"]["data_digest"]
    return Origin(*data, knows_backdoor(document["case"]), _flat(document["config"]), outside)


def _of_part(path: Path) -> Origin:
    header = npz.manifest_of(path)
    manifest = header["manifest"]
    if manifest["part"] != path.stem:
        raise ResultError(f"{path} is another part")
    plugins = manifest.get("plugins")
    outside = None if plugins is None else {kind: _outside([entry]) for kind, entry in plugins.items()}
    knows = path.name.startswith("known-")
    return Origin(manifest["dataset"], manifest["digest"], knows, _flat(manifest["fields"]), outside)


def _outside(entries):
    return [{name: one[name] for name in ("name", "options", "code")} for one in entries if one["origin"] == OUTSIDE]


def _flat(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{group}.{name}": value for group, values in config.items() for name, value in values.items()}
