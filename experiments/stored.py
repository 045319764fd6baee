"""Where experiments find what was measured before, and whether they may use it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import experiments
from tfmeta import registry
from tfmeta.errors import ResultError
from tfmeta.federated.rounds import knows_backdoor
from tfmeta.plugins import code, sources
from tfmeta.plugins.identity import described
from tfmeta.simulation import Simulation
from tfmeta.store import results
from tfmeta.store.compare import BUILT_IN, Difference, changed
from tfmeta.store.reuse import identity_of


def folder_of(sim: Simulation) -> Path:
    """Return the folder of a simulation's results."""
    return results.run_folder(sim.results, sim.bank.dataset, sim.profile, sim.tag)


def part(
    sim: Simulation, case: str, number: int, user: int | None, words: Sequence[str], trainer: int | None,
    more: dict[str, Any], compute: Callable[[], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return the arrays of a file under `parts/`; compute them if it is not there, or is of other code.

    Args:
        sim: The simulation.
        case: "a", "b" or "c".
        number: The round whose model is measured.
        user: The user whose tasks are measured, or None for the meta-test tasks.
        words: Words for the file's name.
        trainer: The user who trains the model further before, or None.
        more: What the manifest has beside the configuration.
        compute: Function that returns the arrays.
    """
    tasks = "meta-test" if user is None else f"user{user}-{'c' if case == 'c' else 'ab'}"
    known = "known" if knows_backdoor(case) else "unknown"
    words = (known, f"round{number:04d}", tasks, *words, trainer and f"by{trainer}", sim.variation)
    path = folder_of(sim) / "parts" / ("-".join(word for word in words if word) + ".npz")
    manifest = {"part": path.stem, "fields": sim.config.to_dict(), **more}
    values = sim.stored.load(path, manifest)
    if values is not None:
        return values
    with sim.stored.collecting():  # so that the file says what of its model was only accepted
        values = compute()
        sim.stored.save(path, values, manifest)
    # in the file's order, so that a run that is killed here and resumes lists its curves in the same order
    return {name: values[name] for name in sorted(values)}


def of_document(sim: Simulation, experiment: str) -> dict[str, Any]:
    """Return the plug-ins and code that decide any document: the data, the trigger, and the experiment's own code."""
    base = sim.identity("partition")
    trigger, imported = described(sim.trigger)
    own = code.modules(*imported, f"experiments.{experiments.modules()[experiment]}")
    own = {name: digest for name, digest in own.items() if trigger["origin"] != BUILT_IN or name not in trigger["code"]}
    return {"plugins": {**base["plugins"], "triggers": trigger}, "code": {**base["code"], **own}}


def reusable(sim: Simulation, path: Path) -> bool:
    """Return whether a stored document may be used; one that is kept although code differs says so from then on.

    Raises:
        CodeChangedError: the package's code differs, and nobody said what to do.
        ResultError: it is damaged, or of another configuration or other data.
    """
    document = results.read(path, sim.config.to_dict())
    there = document["provenance"]["data_digest"]
    if there != sim.bank.digest:  # fonts or a decoder have changed since
        what = f"{path} is of other data: its digest is {there}, this run's is {sim.bank.digest}"
        raise ResultError(f"{what}. Delete it to compute it again, or use another results folder")
    modules, outside = identity_of(document)
    now = _digests_now(sim, modules)
    others = [
        f"{kind}: {entry['name']}"
        for kind, entries in outside.items() for entry in entries if entry["code"] != _outside_now(sim, kind, entry)
    ]  # fmt: skip
    difference = Difference([], others, changed(modules, now), "code" in document)
    accepted = sim.stored.accepted(path, difference, document["provenance"])
    if accepted is not None and sim.stored.policy == "keep" and difference.modules:
        _rewrite(path, document, now, accepted.kept)
    return accepted is not None


def _digests_now(sim, names):
    """Return the present digests of modules, and of the data set's partition, that a document names."""
    own = sim.identity("partition")["plugins"]["datasets"]
    known = own["code"] if own["origin"] == BUILT_IN else {}
    digests = {name: known[name] if name in known else code.digest_of(name) for name in names}
    return {name: digest for name, digest in digests.items() if digest is not None}


def _outside_now(sim, kind, entry):
    """Return the present digest of a plug-in outside the package that a document names; None if it is not there."""
    if kind == "datasets":
        return sim.identity("partition")["plugins"]["datasets"]["code"]
    there = entry["name"] in registry.names_outside(kind)
    return sources.digest_of(registry.find(kind, entry["name"])).digest if there else None


def _rewrite(path, document, now, kept):
    """Write a document again that is kept, with the present digests and what has to be said."""
    for entries in document["plugins"].values():
        for entry in entries:
            if entry["origin"] == BUILT_IN:
                entry["code"] = {name: now[name] for name in entry["code"] if name in now}
    # what edited modules import now counts too, but not beside digests that are left out since nobody knows them
    more = {} if document["provenance"].get("unrecorded") else code.modules(*document["code"])
    document["code"] = {**more, **{k: now[k] for k in document["code"] if k in now}}
    document["provenance"]["kept"] = kept
    given = {name: value for name, value in document.items() if name not in results.FILLED_IN}
    results.write(path.parent, given, results.read_values(path))
