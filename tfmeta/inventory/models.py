"""Folders of models, and whether results, measurements or unfinished runs need them."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tfmeta.config import STAGES
from tfmeta.config.attack import FIRST_ROUND, attack_rounds
from tfmeta.errors import ConfigError, ResultError
from tfmeta.inventory import entries, folders, sources, words
from tfmeta.inventory.entries import DAMAGED, FOREIGN, UNFINISHED, UNUSED, USED, Entry
from tfmeta.store import atomic, lock, npz

KIND = "models"
REMOVED = ".removed-"  # how the name begins of a folder that is being removed
_NAME = re.compile(r"(?P<dataset>.+)-(?P<stage>pretraining|attack|rounds)-(known|unknown)-[0-9a-f]{12}")
_REMOVED = re.compile(rf"{re.escape(REMOVED)}{_NAME.pattern}-[0-9a-f]{{8}}")
_ROUND = re.compile(r"round-([0-9]{5,})\.npz")
_ATTACKER = re.compile(r"attacker(-[0-9]+-round-[0-9]+)?(-[0-9a-f]{20})?\.(npz|f32)")


class Model(NamedTuple):
    """A folder of models, and what its checkpoints say.

    Attributes:
        path: The folder.
        dataset: The data set's name, as the folder's name has it.
        stage: "pretraining", "attack" or "rounds".
        files: What it holds.
        rounds: The numbers of its checkpoints, ascending.
        manifest: The manifest of the last one that can be read; None if there is none.
        origin: What it was computed from; None where that cannot be read.
    """

    path: Path
    dataset: str
    stage: str
    files: list[folders.Item]
    rounds: list[int]
    manifest: dict[str, Any] | None
    origin: sources.Origin | None


def find(results: Path, given_up: bool = False) -> list[Entry]:
    """Return the folders of models of a results folder, one entry each.

    Args:
        results: The results folder.
        given_up: Whether unfinished models are given up, so that those that only they rest on count as unused.

    Raises:
        StorageError: a folder cannot be read.
    """
    found, others = [], []
    for item in folders.inside(results / KIND):
        match = _NAME.fullmatch(item.name)
        if match and item.is_folder:
            found.append(_read(item.path, match["dataset"], match["stage"]))
        elif item.is_folder and _REMOVED.fullmatch(item.name) and not not_ours(folders.inside(item.path)):
            others.append(_half_removed(item))
        else:
            others.append(folders.temporary(KIND, item) or folders.foreign(KIND, item))
    origins, held, needed, entries_found = sources.find(results), _held(results), [], []
    # later stages first, since they keep the earlier ones that they rest on
    for model in sorted(found, key=lambda model: -STAGES.index(model.stage)):
        state, why = _state(model, origins, needed, held)
        if model.origin and state not in (UNUSED, FOREIGN) and not (given_up and state == UNFINISHED):
            needed.append(model)
        entries_found.append(_entry(model, words.model(model, origins.before), state, why))
    return sorted([*entries_found, *others], key=lambda entry: entry.name)


def run_beside(folder: Path) -> Path | None:
    """Return a folder of the same data set's models or results that a run holds now, or None."""
    match = _NAME.fullmatch(folder.name)
    return _beside(folder, match["dataset"], _held(folder.parents[1])) if match else None


def _held(results: Path) -> list[Path]:
    """Return the folders of results and models that runs hold."""
    there = [*folders.inside(results), *folders.inside(results / KIND)]
    return [item.path for item in there if item.is_folder and lock.is_held(item.path / lock.LOCK)]


def _beside(folder: Path, dataset: str, held: Sequence[Path]) -> Path | None:
    return next((path for path in held if path != folder and path.name.startswith(f"{dataset}-")), None)


def not_ours(files: Sequence[folders.Item]) -> list[folders.Item]:
    """Return what a folder of models holds that tfmeta did not write."""
    return [item for item in files if not (item.is_file and (_is_ours(item.name) or atomic.is_temporary(item.path)))]


def _read(path: Path, dataset: str, stage: str) -> Model:
    files = folders.inside(path)
    rounds = sorted(int(match[1]) for item in files if (match := _ROUND.fullmatch(item.name)))
    # the last round first, and attackers' files last
    stored = [item.path for item in files if item.is_file and item.path.suffix == ".npz" and _is_ours(item.name)]
    for file in sorted(stored, key=lambda path: (path.name.startswith("round-"), path.name), reverse=True):
        try:
            manifest = npz.manifest_of(file)["manifest"]
            return Model(path, dataset, stage, files, rounds, manifest, sources.of_manifest(manifest))
        except (ResultError, KeyError, TypeError, AttributeError):
            continue
    return Model(path, dataset, stage, files, rounds, None, None)


def _is_ours(name: str) -> bool:
    return bool(_ROUND.fullmatch(name) or _ATTACKER.fullmatch(name)) or name in (lock.LOCK, lock.HOLDER)


def _entry(model: Model, what: str, state: str, why: str) -> Entry:
    files = [(item.path, item.status) for item in model.files if item.is_file]
    entry = entries.made(KIND, model.path.name, files, state, what, why, lock=model.path / lock.LOCK)
    return dataclasses.replace(entry, paths=[model.path])


def _half_removed(item: folders.Item) -> Entry:
    files = [(each.path, each.status) for each in folders.below(item.path)]
    about = "a folder of models", "left by a removal that was interrupted"
    entry = entries.made(KIND, item.name, files, UNUSED, *about, lock=item.path / lock.LOCK, left=True)
    return dataclasses.replace(entry, paths=[item.path])


def _state(
    model: Model, origins: sources.Origins, needed: Sequence[Model], held: Sequence[Path]
) -> tuple[str, str]:
    """Return whether something needs a model, and what, or why nothing does."""
    if model.path in held:
        return USED, f"a run is using it{lock.holder_of(model.path)}"
    odd = not_ours(model.files)
    if odd:
        return FOREIGN, f"it holds {odd[0].name}, which is no file of tfmeta: move that away first"
    if model.origin is None:
        if any(item.path.suffix == ".npz" for item in model.files):
            return DAMAGED, "damaged: none of its checkpoints can be read"
        return UNUSED, "left by a run that ended before its first checkpoint"
    users = origins.users_of(model.origin, model.stage)
    if users:
        return USED, f"used by {words.counted(users)}"
    later = [other for other in needed if STAGES.index(other.stage) > STAGES.index(model.stage)]
    resting = next((one for one in later if origins.rests_on(one.origin, model.origin, model.stage)), None)
    if resting is not None:
        return USED, f"{resting.path.name} was trained from it"
    if (beside := _beside(model.path, model.dataset, held)) is not None:
        return USED, f"a run works in {beside}{lock.holder_of(beside)}"
    for run, path in origins.unreadable:
        if run.startswith(f"{model.dataset}-"):
            return DAMAGED, f"{path} cannot be read, and may have been computed from it"
    missing = _missing(model)
    if missing:
        return UNFINISHED, missing
    return UNUSED, f"no result in {model.path.parents[1]} was computed from it"


def _missing(model: Model) -> str | None:
    """Return what an unfinished model lacks, in words; None if it is finished."""
    given, last = model.origin.fields, max(model.rounds, default=0)
    try:
        if model.stage == "pretraining":
            asked = given["federation.pretraining_rounds"]
        elif model.stage == "rounds":
            asked = FIRST_ROUND + given["federation.rounds_after"]
        else:
            rounds = given.get("attack.rounds", "once")
            if rounds.startswith("every-"):  # then the last one depends on what follows the attack
                return f"{last} rounds, and how many the run wanted is not stored"
            asked = attack_rounds(rounds, FIRST_ROUND)[-1]
    except (KeyError, AttributeError, ConfigError):
        return f"{last} rounds, and how many the run wanted is not stored"
    return f"{last} of {asked} rounds" if last < asked else None
