"""How much is left to do for the documents that a command asks for, and whether that is too long to just begin."""

import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

import experiments
from experiments import stored
from tfmeta import registry
from tfmeta.config import Config
from tfmeta.estimate import Estimate, Measured, Work, refusal
from tfmeta.federated import rounds
from tfmeta.simulation import Simulation
from tfmeta.store import results

Documents = Sequence[tuple[str, str]]  # experiments and cases


class Needs(NamedTuple):
    """What an experiment needs in one case.

    Attributes:
        model: The model of the timeline up to which it trains, as `rounds.number_of` takes it; None for none.
        measured: The tasks that it measures.
        prepared: Extra meta-training before; experiments of one case that need the same share it.
        seconds: Seconds of other work.
    """

    model: str | int | None = "attacked"
    measured: tuple[Measured, ...] = ()
    prepared: tuple[Measured, ...] = ()
    seconds: float = 0.0


def check(asked: Iterable[tuple[Simulation, Documents]], allowed: bool) -> None:
    """Log how long a long run takes; raise `ConfigError` if it takes over a week and nobody `allowed` that.

    Args:
        asked: Simulations, each with the documents that it is to compute. Those that are stored take no time.
        allowed: Whether a longer run may start.
    """
    total, config = Estimate({}, {}), None
    for sim, documents in asked:
        work = left(sim, documents)
        if any(work):
            found = sim.estimate(work)
            config = sim.config if config is None or found.total_seconds > total.total_seconds else config
            total += found
    if config is not None:
        refusal.check_time(config, total, allowed)


def left(sim: Simulation, documents: Documents) -> Work:
    """Return what is left to do for documents; nothing where all are stored.

    Models that are stored are not trained again, unless the simulation computes stored files of other code again.
    """
    missing = [(case, needs_of(name, sim.config)) for name, case in documents if not _is_stored(sim, name, case)]
    work, prepared = Work(), set()
    for case, needs in missing:
        work += Work(measured=needs.measured, seconds=needs.seconds)
        prepared |= {(case, one) for one in needs.prepared}
    work += Work(measured=tuple(one for _, one in sorted(prepared)))
    for known in sorted({rounds.knows_backdoor(case) for case, needs in missing if needs.model is not None}):
        cases = [(case, needs.model) for case, needs in missing if rounds.knows_backdoor(case) == known]
        numbers = [rounds.number_of(model, sim.config) for _, model in cases if model is not None]
        work += _training(sim, cases[0][0], max(numbers))
    return work


def needs_of(name: str, config: Config) -> Needs:
    """Return what an experiment needs in each case; if its module does not say so, what experiment 2 does."""
    given = getattr(experiments.module(name), "needs", None)
    return compared(config, "fine_tuning") if given is None else given(name, config)


def compared(config: Config, own: str, models: int = 2, repeated: int = 1) -> Needs:
    """Return what it needs to measure models on the tasks of all measured users and on the meta-test tasks.

    Args:
        config: The configuration.
        own: The experiment's own defence, which gives way to the one that the configuration names.
        models: How many models are measured.
        repeated: How often.
    """
    evaluation, name, extra = config.evaluation, config.defence.name, config.defence.extra_episodes
    defence = registry.build("defences", config, own if name == "experiment" else name)
    sets = models * repeated * (2 * evaluation.users if extra else evaluation.users + 1)
    matching = defence.head == "matching"
    measured = Measured(sets, evaluation.tasks, evaluation.fine_tuning_steps, matching)
    prepared = (Measured(sets, evaluation.tasks, 0, extra_episodes=extra),) if extra else ()
    return Needs(measured=(measured,), prepared=prepared)


def _is_stored(sim, name, case):
    path = results.path_of(stored.folder_of(sim), name, case)
    return path.exists() and (sim.stored.policy != "fresh" or stored.reusable(sim, path))


def _training(sim, case, last):
    """Return what is left of the training of a case's models up to round `last`."""
    config, timeline, attacked = sim.config, sim.timeline(case), rounds.attacked(sim.config)
    federation, attacking = config.federation, rounds.with_attackers(config)
    done = {stage: _rounds_done(sim, timeline.folder(stage)) for stage in ("pretraining", "attack", "rounds")}
    first = max(done["attack"], done["rounds"])
    of_pretraining = 0 if first else federation.pretraining_rounds - done["pretraining"]
    attacks = sum(1 for number in attacking if first < number <= last)
    benign = max(last - first, 0) * federation.clients_per_round - attacks * federation.attackers
    poisoned = attacks * federation.attackers * config.attack.episodes
    if first < attacked:
        poisoned -= _episodes_done(sim, timeline.folder("attack"), first)
    return Work(
        pretraining=max(of_pretraining, 0) * federation.clients_per_round * federation.pretraining_episodes,
        poisoned=max(poisoned, 0), benign=benign * federation.round_episodes,
    )  # fmt: skip


def _rounds_done(sim: Simulation, folder: Path) -> int:
    """Return the last round of which there is a checkpoint; 0 where they are computed anew."""
    if sim.stored.policy == "fresh":
        return 0
    found = (re.fullmatch(r"round-(\d{5,9})\.npz", path.name) for path in folder.glob("round-*.npz"))
    return max((int(name[1]) for name in found if name), default=0)


def _episodes_done(sim, folder, first):
    """Return how many episodes attackers have trained for rounds after `first`."""
    done = 0
    for path in folder.glob("attacker*.npz") if sim.stored.policy != "fresh" else ():
        number = re.search(r"-round-(\d+)$", path.stem)
        if (int(number[1]) if number else rounds.BEFORE_ATTACK + 1) > first:
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    done += int(arrays["episodes"])
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                continue  # whoever reads it for its content says what is wrong
    return done
