"""What experiments share: measuring a model on tasks once, and writing a result with its provenance."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from experiments import stored
from experiments.stored import folder_of
from tfmeta import registry
from tfmeta.config import Config
from tfmeta.defences.base import Defence, OwnImages
from tfmeta.errors import ConfigError
from tfmeta.federated import rounds
from tfmeta.federated.rounds import knows_backdoor
from tfmeta.simulation import Simulation
from tfmeta.store import lock, npz, provenance, results


def models(sim: Simulation) -> dict[str, int]:
    """Return the rounds after which models are compared, "before" and "after" the attack."""
    return {"before": rounds.BEFORE_ATTACK, "after": rounds.attacked(sim.config)}


def pooled_note(sim: Simulation) -> str:
    """Return the note of results in which the tasks of all measured users are one set."""
    *most, last = map(str, sim.measured_users)
    users = f"users {', '.join(most)} and {last}" if most else f"user {last}"
    return f"main task and backdoor: the tasks of {users} together"


def accuracies(
    sim: Simulation, case: str, number: int, user: int | None, points: Sequence[int], defence: str | Defence,
    trainer: int | None = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return accuracies by metric of the model after a round; they are measured once, then read back.

    Each measurement is a file under `parts/`, so a killed run resumes, and all experiments that need it share it.

    Args:
        user: A benign user's number, or None for the meta-test tasks, which are the same in all cases.
        points: Iterations at which to measure.
        defence: The experiment's own, a name, which gives way to the one that the simulation was made with; or a
            defence that is bound to the simulation's configuration.
        trainer: The user whose own images a defence prepares itself with (appendix A.3), or None.

    Returns:
        float32 [points, n] by metric: "main" and both backdoor metrics, or "meta_test".
    """

    used = sim.chosen_defence(defence) if isinstance(defence, str) else defence

    def compute():
        weights = sim.weights(number, case=case)
        if trainer is not None:
            weights = prepared(sim, case, number, user, trainer, used)
        values = sim.accuracies(weights, case, user, used, points)
        return {"meta_test": values["main"]} if user is None else values

    more = {**sim.identity("evaluation", used), "points": list(points)}
    return stored.part(sim, case, number, user, (used.stored_as, str(points[-1])), trainer, more, compute)


def prepared(
    sim: Simulation, case: str, number: int, user: int | None, trainer: int, defence: Defence
) -> np.ndarray:
    """Return the weights float32 [n, size] from which tasks start after a defence's `prepare` on a user's own images.

    Both heads start from the same ones in figures A8 and A9, so they have a file of their own.
    """

    def compute():
        weights, tasks, model = sim.weights(number, case=case), sim.tasks(case, user), sim.model
        own = OwnImages(*sim.client_data.benign(trainer, knows_backdoor(case)), sim.client_data.capacity)
        learning = sim.config.meta_learning
        with sim.bar(len(tasks), f"extra local meta-training ({case}), user {trainer}", "task") as bar:
            return {"weights": defence.prepare(model, learning, weights, own, tasks.seeds, bar.update)}

    more = sim.identity("evaluation", defence.prepared_by)
    return stored.part(sim, case, number, user, ("weights",), trainer, more, compute)["weights"]


def pooled(
    sim: Simulation, case: str, number: int, points: Sequence[int], defence: str, report: Callable[[int], None]
) -> dict[str, np.ndarray]:
    """Return accuracies as `accuracies` does, of all measured users' tasks in a row; `report(1)` follows each set."""
    found = {}
    for user in (*sim.measured_users, None):
        for metric, values in accuracies(sim, case, number, user, points, defence).items():
            found.setdefault(metric, []).append(values)
        report(1)
    return {metric: np.concatenate(values, axis=1) for metric, values in found.items()}


def over_iterations(sim: Simulation, case: str, defence: str, title: str) -> list[dict]:
    """Return the curves of all measured users' fine-tuning, before and after the attack; `title` is the bar's."""
    sim.weights("attacked", case=case)  # train all models first, so that their bars come before the tasks' bar
    from tfmeta.meta_learning.evaluation import points_upto

    points, used = points_upto(sim.config.evaluation.fine_tuning_steps), sim.chosen_defence(defence)
    if sim.config.defence.extra_episodes and not used.needs_own_images:
        extra = registry.build("defences", sim.config, "extra_meta_training")
        used = dataclasses.replace(extra, then=used.NAME)
    users = sim.measured_users
    sets = [(user, user, None) for user in (*users, None)]  # user of the curve, user of the tasks, who trains first
    if used.needs_own_images:  # then accuracies on the meta-test tasks depend on who trained too
        sets = [(user, user, user) for user in users] + [(user, None, user) for user in users]
    curves = []
    with sim.bar(len(models(sim)) * len(sets), f"{title} ({case})", "set of tasks") as bar:
        for split, number in models(sim).items():
            for user, tasks_of, trainer in sets:
                values = accuracies(sim, case, number, tasks_of, points, used, trainer)
                curves += described(values, split, used.head, "iteration", points, user)
                bar.update(1)
    return curves


def described(
    values: dict[str, np.ndarray], split: str, head: str, x_name: str, x: Sequence[float], user: int | None = None
) -> list[dict]:
    """Return accuracies float32 [points, n] by metric as `result` takes them: keyword arguments of `results.curve`."""
    shared = {"user": user, "head": head, "split": split, "x": x, "x_name": x_name}
    return [{**shared, "metric": metric, "task_values": task_values} for metric, task_values in values.items()]


def defence_words(config: Config, own: str) -> str:
    """Return what to call the defence that is measured: the one that a configuration names, or else `own`."""
    return own if config.defence.name == "experiment" else config.defence.name


def check_has_delta(config: Config, experiment: str) -> None:
    """Raise `ConfigError` if the defence that a configuration names is not one that mixes weights.

    An experiment about the share delta of the trained weights would measure the same numbers again and again.
    """
    if not has_delta(config):
        name = config.defence.name
        raise ConfigError(
            f"{experiment} is about delta, and the defence {name} has no option delta: leave out --defence, or choose "
            "a defence that has `delta: float = shared()`"
        )


def has_delta(config: Config) -> bool:
    """Return whether the defence that a configuration names mixes weights; so do the experiments' own."""
    name = config.defence.name
    return name == "experiment" or "delta" in registry.options_of("defences", name, shared=True)


def mixes(config: Config) -> bool:
    """Return whether the defence that a configuration names is one of the package's that mix weights."""
    return config.defence.name == "experiment" or (
        has_delta(config) and registry.is_built_in("defences", config.defence.name)
    )


def norms(sim: Simulation, case: str) -> dict[str, dict]:
    """Return (and log) the norms of theta and theta_g by weight, "before" and "after" the attack."""
    from tfmeta.defences import noise_mix

    found, drawn = {}, np.concatenate([sim.tasks(case, user).seeds for user in sim.measured_users])
    for split, number in models(sim).items():
        found[split] = noise_mix.norms(sim.model, sim.weights(number, case=case), drawn)
        noise_mix.log_norms(found[split], sim.config.defence.delta, f"case {case}, {split} the attack")
    return found


def result(sim: Simulation, experiment: str, case: str, compute: Callable[[], tuple[list[dict], dict, dict]]) -> Path:
    """Return the path of an experiment's document; if it is not there, compute and write it.

    `compute` returns what `described` does, extra parts of the document, and extra arrays.

    Raises:
        ResultError: a document is there, but damaged, or of another configuration, other data or other code.
    """
    path = results.path_of(folder_of(sim), experiment, case)
    if npz.exists(path) and stored.reusable(sim, path):
        return path
    with lock.hold(path.parent):
        begun = provenance.start()
        with sim.stored.collecting() as used:
            sim.stored.note(stored.of_document(sim, experiment))
            descriptions, more, arrays = compute()
        notes = [*sim.partition.notes, *more.get("notes", ())]  # the partition's say where shares are not the paper's
        more = {**more, "notes": notes} if notes else more
        curves = [results.curve(**description) for description in descriptions]
        values = {results.key(curve): given["task_values"] for curve, given in zip(curves, descriptions, strict=True)}
        document = {
            "experiment": experiment, "case": case, "dataset": sim.bank.dataset, "profile": sim.profile,
            "config": sim.config.to_dict(), "changed": sim.changed, "curves": curves,
            **used.identity(), "provenance": provenance.collect(sim.bank.digest, begun, used.kept, used.unrecorded),
            **more,
        }  # fmt: skip
        return results.write(path.parent, document, {**values, **arrays})
