"""What experiments share: measuring a model on tasks once, and writing a result with where it came from."""

import time

from tfmeta.store import checkpoints, lock, provenance, results
from tfmeta.tasks import knows_backdoor


def folder_of(lab):
    """Return the folder of a laboratory's results."""
    return results.run_folder(lab.results, lab.bank.dataset, lab.profile, lab.tag)


def accuracies(lab, case, x, user, points, head="softmax", method=None):
    """Return accuracies float32 [points, n] by metric of the model at ``x``; measured once, then read back.

    Args:
      lab: ``tfmeta.Laboratory``.
      case: "a", "b" or "c".
      x: the model's place on the timeline.
      user: 2, 3, 4, or None for the meta-test tasks, which are the same in all cases.
      points: iterations at which to measure.
      head, method: name of the head and the function that fine-tunes it (default: supervised).

    Each is a file of its own under ``parts/``, so that a run that is killed goes on, and cases and experiments
    that measure the same share it.
    """
    tasks = "meta-test" if user is None else f"user{user}-{'c' if case == 'c' else 'ab'}"
    known = "known" if knows_backdoor(case) else "unknown"
    path = folder_of(lab) / "parts" / f"{known}-x{x:04d}-{tasks}-{head}-{points[-1]}.npz"
    manifest = {
        "part": path.stem, "points": list(points), "dataset": lab.bank.dataset, "digest": lab.bank.digest,
        "fields": lab.config.to_dict(),
    }  # fmt: skip
    if path.exists():
        return checkpoints.load(path, manifest)
    more = {} if method is None else {"method": method}
    values = lab.measure(lab.model(case, x), case, user, points, **more)
    if user is None:
        values = {"meta_test": values["main"]}
    checkpoints.save(path, values, manifest)
    return values


def result(lab, experiment, case, compute):
    """Return the path of an experiment's document; if it is not there, compute and write it.

    ``compute`` returns (curves' descriptions, extra parts of the document, extra arrays): each description is the
    keyword arguments of ``results.curve``.
    """
    folder = folder_of(lab)
    path = results.path_of(folder, experiment, case)
    if path.exists():
        results.read(path, lab.config.to_dict())  # complains if it is damaged or of another configuration
        return path
    with lock.hold(folder):
        started, clock = time.time(), time.monotonic()
        described, more, arrays = compute()
        curves = [results.curve(**description) for description in described]
        values = {results.key(curve): given["task_values"] for curve, given in zip(curves, described, strict=True)}
        document = {
            "experiment": experiment, "case": case, "dataset": lab.bank.dataset, "profile": lab.profile,
            "config": lab.config.to_dict(), "curves": curves,
            "provenance": provenance.collect(lab.bank.digest, started, time.monotonic() - clock), **more,
        }  # fmt: skip
        return results.write(folder, document, {**values, **arrays})
