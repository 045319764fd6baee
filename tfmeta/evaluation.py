"""The accuracies of tasks (section 3, ledger 20): main task or meta-test, and backdoor on two sets of pictures."""

import functools

import numpy as np
import tensorflow as tf

from tfmeta import defence, finetune
from tfmeta.errors import ConfigError, ModelError
from tfmeta.flat import layout_of
from tfmeta.models.conv4 import check_weights
from tfmeta.models.matching import check_support

# How a user adapts the meta-model to a task: name -> (function like ``finetune.supervised``, the head it answers with).
METHODS = {
    "softmax": (finetune.supervised, "softmax"),
    "matching": (defence.matching, "matching"),
    "softmax-mixed": (finetune.supervised_from_mix, "softmax"),
}

# Tasks that run at once. More than cores, so that no core waits for the last one; few, so that memory stays small
# with 84x84 pictures.
SIDE_BY_SIDE = 5


def points_upto(steps):
    """Return the iterations at which a fine-tuning of ``steps`` is measured: dense at first, and the last.

    A tenth and two fifths of the way are among them: 50 and 200 of the paper's 500.
    """
    marks = {0, 10, 20, 50, 100, 150, 200, 300, 400, *tenths(steps)}
    return tuple(sorted(mark for mark in marks if mark <= steps))


def tenths(steps):
    """Return the start, a tenth, two fifths and the end of ``steps`` iterations (0, 50, 200 and 500 of 500)."""
    return tuple(dict.fromkeys((0, steps // 10, 2 * steps // 5, steps)))


def method_of(name):
    """Return (function, head) of a method; raise ``ConfigError`` for an unknown one."""
    if name not in METHODS:
        raise ConfigError(f"unknown method {name!r}: choose one of {', '.join(METHODS)}")
    return METHODS[name]


def measure(model, config, weights, tasks, points, method="softmax", report=lambda done: None):
    """Fine-tune on every task and return its accuracies.

    Args:
      model: ``Conv4``.
      config: ``Config``.
      weights: list of arrays, the meta-model; or float32 [n, size], a vector for each task (``local.meta_trained``).
      tasks: ``tasks.Tasks``.
      points: iterations at which to measure.
      method: one of ``METHODS``, or a function like ``finetune.supervised``.
      report: called with the number of tasks done.

    Returns:
      dict of float32 [len(points), n]: "main" (for meta-test tasks the meta-test accuracy), "backdoor_train" and
      "backdoor_validation": the share of asked keyed pictures that are given the target's label.

    Raises ``ModelError`` for weights that are not the model's or hold NaN, ``DataError`` for tasks whose support
    lacks a class or whose labels are out of range, ``ConfigError`` for an unknown method.
    """
    method = method if callable(method) else method_of(method)[0]
    if isinstance(weights, np.ndarray):  # each task's own
        if weights.shape != (len(tasks), layout_of(model).size) or not np.isfinite(weights).all():
            raise ModelError(
                f"the models to fine-tune: {list(weights.shape)} numbers, or NaN or infinity among them; "
                f"need a vector of {layout_of(model).size} for each of {len(tasks)} tasks"
            )
    else:
        check_weights(model, weights, "the model to fine-tune", ModelError)
        vector = np.concatenate([np.ravel(part) for part in weights]).astype(np.float32)
        weights = np.broadcast_to(vector, (len(tasks), vector.size))
    check_support(tasks.support_labels, model.ways, "the tasks' support sets")
    run = _runner(model, config, tuple(points), method, tuple(tasks.keyed))
    answers = []
    for start in range(0, len(tasks), SIDE_BY_SIDE):
        rows = slice(start, start + SIDE_BY_SIDE)
        part = tasks.part(rows)
        given = (weights[rows], part.support, part.support_labels, part.queries, part.seeds, list(part.keyed.values()))
        given = tf.nest.map_structure(tf.constant, given)
        # not run(*given): TensorFlow would take the graphs of other methods and points for needless ones, and warn
        answers.append(run.get_concrete_function(*given)(*given).numpy())
        report(len(part))
    return accuracies(np.concatenate(answers), tasks)


@functools.lru_cache(maxsize=32)  # a delta curve has ten configurations, each also for meta-test
def _runner(model, config, points, method, groups):
    """Return the graph that answers some tasks' queries: int32 [tasks, points, queries]; traced once a shape."""
    del groups
    layout = layout_of(model)

    @tf.function(autograph=False)
    def run(vectors, support, labels, queries, seeds, keyed):
        def one(task):
            vector, support, labels, queries, seed = task
            weights = layout.unpack(vector)
            return method(model, config, weights, support, labels, [queries, *keyed], seed, points)

        return tf.map_fn(
            one, (vectors, support, labels, queries, seeds), fn_output_signature=tf.int32,
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
