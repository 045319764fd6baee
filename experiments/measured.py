"""What experiments share: measuring a model on tasks once, and writing a result with where it came from."""

import numpy as np

from tfmeta.data.partition import BENIGN
from tfmeta.errors import ResultError
from tfmeta.store import checkpoints, lock, provenance, results
from tfmeta.tasks import ATTACKED, BEFORE_ATTACK, knows_backdoor

MODELS = {"before": BEFORE_ATTACK, "after": ATTACKED}
POOLED = "main task and backdoor: the tasks of users 2, 3 and 4 together"


def folder_of(lab):
    """Return the folder of a laboratory's results."""
    return results.run_folder(lab.results, lab.bank.dataset, lab.profile, lab.tag)


def accuracies(lab, case, x, user, points, method="softmax", trainer=None):
    """Return accuracies float32 [points, n] by metric of the model at ``x``; measured once, then read back.

    Args:
      lab: ``tfmeta.Laboratory``, or a variant of one.
      case: "a", "b" or "c".
      x: the model's place on the timeline.
      user: 2, 3, 4, or None for the meta-test tasks, which are the same in all cases.
      points: iterations at which to measure.
      method: one of ``tfmeta.evaluation.METHODS``.
      trainer: 2, 3 or 4, the user whose extra local meta-training comes first; None for none (appendix A.3).

    Each is a file of its own under ``parts/``, so that a run that is killed goes on, and cases, experiments and
    ablations that measure the same share it.
    """

    def compute():
        weights, measured = lab.model(case, x), lab
        if trainer is not None:
            weights, measured = meta_trained(lab, case, x, user, trainer), lab.without_mix()
        values = measured.measure(weights, case, user, method, points)
        return {"meta_test": values["main"]} if user is None else values

    return _part(lab, case, x, user, (method, str(points[-1])), trainer, {"points": list(points)}, compute)


def meta_trained(lab, case, x, user, trainer):
    """Return the weights float32 [n, size] with which the tasks begin after a user's extra local meta-training.

    Supervised and matching fine-tuning share them (figures A8 and A9), so they are a part of their own.
    """
    from tfmeta import local

    def compute():
        tasks, setting = lab.tasks(case, user), lab.setting._replace(config=lab.config)
        bank = lab.banks.benign(trainer, knows_backdoor(case))
        with lab.bar(len(tasks), f"extra local meta-training ({case}), user {trainer}", "task") as bar:
            return {"weights": local.meta_trained(setting, lab.model(case, x), bank, tasks.seeds, bar.update)}

    return _part(lab, case, x, user, ("weights",), trainer, {}, compute)["weights"]


def _part(lab, case, x, user, words, trainer, more, compute):
    """Return the arrays of a file under ``parts/``, computing them if it is not there."""
    tasks = "meta-test" if user is None else f"user{user}-{'c' if case == 'c' else 'ab'}"
    known = "known" if knows_backdoor(case) else "unknown"
    words = (known, f"x{x:04d}", tasks, *words, trainer and f"by{trainer}", lab.variation)
    path = folder_of(lab) / "parts" / ("-".join(word for word in words if word) + ".npz")
    manifest = {
        "part": path.stem, "dataset": lab.bank.dataset, "digest": lab.bank.digest, "fields": lab.config.to_dict(),
        **more,
    }  # fmt: skip
    if path.exists():
        return checkpoints.load(path, manifest)
    values = compute()
    checkpoints.save(path, values, manifest)
    # in the file's order, as above: a run that was killed here and goes on lists its curves like one that was not
    return {name: values[name] for name in sorted(values)}


def pooled(lab, case, x, points, method, report=lambda done: None):
    """Return accuracies by metric as ``accuracies`` does, the tasks of all benign users one behind the other."""
    found = {}
    for user in (*BENIGN, None):
        for metric, values in accuracies(lab, case, x, user, points, method).items():
            found.setdefault(metric, []).append(values)
        report(1)
    return {metric: np.concatenate(values, axis=1) for metric, values in found.items()}


def over_iterations(lab, case, method, title):
    """Return the curves of all benign users' fine-tuning, for the models before and after the attack."""
    # train all models first: their bars come before the tasks' one
    lab.model(case, ATTACKED)
    from tfmeta.evaluation import method_of, points_upto

    points, (_, head) = points_upto(lab.config.finetune_steps), method_of(method)
    # (user of the curve, user of the tasks, who trains): after a user's training meta-test depends on the user too
    sets = [(user, user, None) for user in (*BENIGN, None)]
    if lab.config.extra_episodes:
        sets = [(user, user, user) for user in BENIGN] + [(user, None, user) for user in BENIGN]
    curves = []
    with lab.bar(len(MODELS) * len(sets), f"{title} ({case})", "set of tasks") as bar:
        for split, x in MODELS.items():
            for user, tasks_of, trainer in sets:
                values = accuracies(lab, case, x, tasks_of, points, method, trainer)
                curves += [
                    {
                        "user": user, "head": head, "metric": metric, "split": split,
                        "x": points, "x_name": "iteration", "task_values": task_values,
                    }
                    for metric, task_values in values.items()
                ]  # fmt: skip
                bar.update(1)
    return curves


def norms(lab, case):
    """Return (and log) the norms of theta and theta_g by weight, {"before": ..., "after": ...} the attack."""
    from tfmeta import mix

    found, drawn = {}, np.concatenate([lab.tasks(case, user).seeds for user in BENIGN])
    for split, x in MODELS.items():
        found[split] = mix.norms(lab.model_shape, lab.model(case, x), drawn)
        mix.log_norms(found[split], lab.config.delta, f"case {case}, {split} the attack")
    return found


def result(lab, experiment, case, compute):
    """Return the path of an experiment's document; if it is not there, compute and write it.

    ``compute`` returns (curves' descriptions, extra parts of the document, extra arrays): each description is the
    keyword arguments of ``results.curve``. Raises ``ResultError`` for a document that is damaged, or of another
    configuration or other data.
    """
    folder = folder_of(lab)
    path = results.path_of(folder, experiment, case)
    if path.exists():
        _check_digest(path, results.read(path, lab.config.to_dict()), lab.bank.digest)
        return path
    with lock.hold(folder):
        begun = provenance.start()
        described, more, arrays = compute()
        notes = [*lab.partition.notes, *more.get("notes", ())]  # also where shares are not the paper's (ledger 15)
        more = {**more, "notes": notes} if notes else more
        curves = [results.curve(**description) for description in described]
        values = {results.key(curve): given["task_values"] for curve, given in zip(curves, described, strict=True)}
        document = {
            "experiment": experiment, "case": case, "dataset": lab.bank.dataset, "profile": lab.profile,
            "config": lab.config.to_dict(), "curves": curves,
            "provenance": provenance.collect(lab.bank.digest, begun), **more,
        }  # fmt: skip
        return results.write(folder, document, {**values, **arrays})


def _check_digest(path, document, digest):
    # fonts or a decoder may have changed since; parts and models say so too
    there = document["provenance"]["data_digest"]
    if there != digest:
        raise ResultError(
            f"{path} is of other data: its digest is {there}, this run's is {digest}. "
            "Delete it to compute it again, or use another results folder"
        )
