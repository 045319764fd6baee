"""What experiments share: measuring a model on tasks once, and writing a result with its provenance."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tfmeta import registry
from tfmeta.config import Config
from tfmeta.datasets.shares import BENIGN
from tfmeta.errors import ConfigError, ResultError
from tfmeta.federated.rounds import ATTACKED, BEFORE_ATTACK, knows_backdoor
from tfmeta.simulation import Simulation
from tfmeta.store import checkpoints, lock, provenance, results

MODELS = {"before": BEFORE_ATTACK, "after": ATTACKED}
POOLED = "main task and backdoor: the tasks of users 2, 3 and 4 together"


def folder_of(sim: Simulation) -> Path:
    """Return the folder of a simulation's results."""
    return results.run_folder(sim.results, sim.bank.dataset, sim.profile, sim.tag)


def accuracies(
    sim: Simulation, case: str, number: int, user: int | None, points: Sequence[int], defence: str,
    trainer: int | None = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return accuracies by metric of the model after a round; they are measured once, then read back.

    Each measurement is a file under `parts/`, so a killed run resumes, and all experiments that need it share it.

    Args:
        user: 2, 3, 4, or None for the meta-test tasks, which are the same in all cases.
        points: Iterations at which to measure.
        defence: The experiment's own defence, which gives way to the one that the simulation was made with.
        trainer: The user whose extra local meta-training comes first (appendix A.3), or None.

    Returns:
        float32 [points, n] by metric: "main" and both backdoor metrics, or "meta_test".
    """

    def compute():
        weights, measured = sim.weights(number, case=case), sim
        if trainer is not None:
            weights, measured = meta_trained(sim, case, number, user, trainer), sim.without_mix()
        values = measured.accuracies(weights, case, user, measured.chosen_defence(defence), points)
        return {"meta_test": values["main"]} if user is None else values

    words = sim.chosen_defence(defence).NAME, str(points[-1])
    return _part(sim, case, number, user, words, trainer, {"points": list(points)}, compute)


def meta_trained(sim: Simulation, case: str, number: int, user: int | None, trainer: int) -> np.ndarray:
    """Return the weights float32 [n, size] from which tasks start after extra local meta-training by `trainer`.

    Both heads start from them (figures A8 and A9), so they have a file of their own.
    """

    def compute():
        weights, tasks, model = sim.weights(number, case=case), sim.tasks(case, user), sim.model
        from tfmeta.defences.extra_meta_training import meta_trained

        own = *sim.client_data.benign(trainer, knows_backdoor(case)), sim.client_data.capacity
        with sim.bar(len(tasks), f"extra local meta-training ({case}), user {trainer}", "task") as bar:
            return {"weights": meta_trained(model, sim.config, weights, *own, tasks.seeds, bar.update)}

    return _part(sim, case, number, user, ("weights",), trainer, {}, compute)["weights"]


def _part(sim, case, number, user, words, trainer, more, compute):
    """Return the arrays of a file under `parts/`, computing them if it is not there."""
    tasks = "meta-test" if user is None else f"user{user}-{'c' if case == 'c' else 'ab'}"
    known = "known" if knows_backdoor(case) else "unknown"
    words = (known, f"round{number:04d}", tasks, *words, trainer and f"by{trainer}", sim.variation)
    path = folder_of(sim) / "parts" / ("-".join(word for word in words if word) + ".npz")
    identity = {"dataset": sim.bank.dataset, "digest": sim.bank.digest, "fields": sim.config.to_dict()}
    manifest = {"part": path.stem, **identity, **more}
    if path.exists():
        return checkpoints.load(path, manifest)
    values = compute()
    checkpoints.save(path, values, manifest)
    # in the file's order, so that a run that is killed here and resumes lists its curves in the same order
    return {name: values[name] for name in sorted(values)}


def pooled(
    sim: Simulation, case: str, number: int, points: Sequence[int], defence: str, report: Callable[[int], None]
) -> dict[str, np.ndarray]:
    """Return accuracies as `accuracies` does, of all users' tasks one after the other; `report(1)` follows each set."""
    found = {}
    for user in (*BENIGN, None):
        for metric, values in accuracies(sim, case, number, user, points, defence).items():
            found.setdefault(metric, []).append(values)
        report(1)
    return {metric: np.concatenate(values, axis=1) for metric, values in found.items()}


def over_iterations(sim: Simulation, case: str, defence: str, title: str) -> list[dict]:
    """Return the curves of all benign users' fine-tuning, before and after the attack; `title` is the bar's."""
    sim.weights(ATTACKED, case=case)  # train all models first, so that their bars come before the tasks' bar
    from tfmeta.meta_learning.evaluation import points_upto

    points, head = points_upto(sim.config.evaluation.fine_tuning_steps), sim.chosen_defence(defence).head
    sets = [(user, user, None) for user in (*BENIGN, None)]  # user of the curve, user of the tasks, who trains first
    if sim.config.defence.extra_episodes:  # then accuracies on the meta-test tasks depend on who trained too
        sets = [(user, user, user) for user in BENIGN] + [(user, None, user) for user in BENIGN]
    curves = []
    with sim.bar(len(MODELS) * len(sets), f"{title} ({case})", "set of tasks") as bar:
        for split, number in MODELS.items():
            for user, tasks_of, trainer in sets:
                values = accuracies(sim, case, number, tasks_of, points, defence, trainer)
                curves += described(values, split, head, "iteration", points, user)
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


def norms(sim: Simulation, case: str) -> dict[str, dict]:
    """Return (and log) the norms of theta and theta_g by weight, "before" and "after" the attack."""
    from tfmeta.defences import noise_mix

    found, drawn = {}, np.concatenate([sim.tasks(case, user).seeds for user in BENIGN])
    for split, number in MODELS.items():
        found[split] = noise_mix.norms(sim.model, sim.weights(number, case=case), drawn)
        noise_mix.log_norms(found[split], sim.config.defence.delta, f"case {case}, {split} the attack")
    return found


def result(sim: Simulation, experiment: str, case: str, compute: Callable[[], tuple[list[dict], dict, dict]]) -> Path:
    """Return the path of an experiment's document; if it is not there, compute and write it.

    `compute` returns what `described` does, extra parts of the document, and extra arrays.

    Raises:
        ResultError: a document is there, but damaged, or of another configuration or other data.
    """
    path = results.path_of(folder_of(sim), experiment, case)
    if path.exists():
        there = results.read(path, sim.config.to_dict())["provenance"]["data_digest"]
        if there != sim.bank.digest:  # fonts or a decoder have changed since
            what = f"{path} is of other data: its digest is {there}, this run's is {sim.bank.digest}"
            raise ResultError(f"{what}. Delete it to compute it again, or use another results folder")
        return path
    with lock.hold(path.parent):
        begun = provenance.start()
        descriptions, more, arrays = compute()
        notes = [*sim.partition.notes, *more.get("notes", ())]  # the partition's say where shares are not the paper's
        more = {**more, "notes": notes} if notes else more
        curves = [results.curve(**description) for description in descriptions]
        values = {results.key(curve): given["task_values"] for curve, given in zip(curves, descriptions, strict=True)}
        document = {
            "experiment": experiment, "case": case, "dataset": sim.bank.dataset, "profile": sim.profile,
            "config": sim.config.to_dict(), "changed": sim.changed, "curves": curves,
            "provenance": provenance.collect(sim.bank.digest, begun), **more,
        }  # fmt: skip
        return results.write(path.parent, document, {**values, **arrays})
