"""The accuracies of tasks (section 3, ledger 20): main task or meta-test, and backdoor on two sets of pictures."""

import functools

import numpy as np
import tensorflow as tf

from tfmeta import finetune

# Tasks that run at once. More than cores, so that no core waits for the last one; few, so that memory stays small
# with 84x84 pictures.
SIDE_BY_SIDE = 5


def points_upto(steps):
    """Return the iterations at which a fine-tuning of ``steps`` is measured: dense at first, and the last."""
    marks = (0, 10, 20, 50, 100, 150, 200, 300, 400)
    return (*[mark for mark in marks if mark < steps], steps)


def measure(model, config, weights, tasks, points, method=finetune.supervised, report=lambda done: None):
    """Fine-tune on every task and return its accuracies.

    Args:
      model: ``Conv4``.
      config: ``Config``.
      weights: list of arrays, the meta-model.
      tasks: ``tasks.Tasks``.
      points: iterations at which to measure.
      method: function like ``finetune.supervised``.
      report: called with the number of tasks done.

    Returns:
      dict of float32 [len(points), n]: "main" (for meta-test tasks the meta-test accuracy), "backdoor_train" and
      "backdoor_validation": the share of asked keyed pictures that are given the target's label.
    """
    run = _runner(model, config, tuple(points), method, tuple(tasks.keyed))
    weights = [tf.constant(weight) for weight in weights]
    answers = []
    for start in range(0, len(tasks), SIDE_BY_SIDE):
        part = tasks.part(slice(start, start + SIDE_BY_SIDE))
        answers.append(
            run(
                weights,
                part.support,
                part.support_labels,
                part.queries,
                part.seeds,
                list(part.keyed.values()),
            ).numpy()
        )
        report(len(part))
    return accuracies(np.concatenate(answers), tasks)


@functools.lru_cache(maxsize=8)
def _runner(model, config, points, method, groups):
    """Return the graph that answers some tasks' queries: int32 [tasks, points, queries]; traced once a shape."""
    del groups

    @tf.function(autograph=False)
    def run(weights, support, labels, queries, seeds, keyed):
        def one(task):
            support, labels, queries, seed = task
            return method(model, config, weights, support, labels, [queries, *keyed], seed, points)

        return tf.map_fn(
            one, (support, labels, queries, seeds), fn_output_signature=tf.int32,
            parallel_iterations=SIDE_BY_SIDE,
        )  # fmt: skip

    return run


def accuracies(answers, tasks):
    """Turn answers int32 [n, points, queries] into accuracies float32 [points, n], by metric."""
    own = tasks.query_labels.shape[1]
    right = answers[:, :, :own] == tasks.query_labels[:, None]
    result = {"main": right.mean(2).T.astype(np.float32)}
    start = own
    for name, pictures in tasks.keyed.items():
        hit = answers[:, :, start : start + len(pictures)] == tasks.target[:, None, None]
        asked = tasks.asked[name][:, None]
        result[name] = ((hit & asked).sum(2) / asked.sum(2)).T.astype(np.float32)
        start += len(pictures)
    return result
