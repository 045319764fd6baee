"""The accuracies of tasks (section 3, ledger 20): main task or meta-test, and backdoor on two sets of images."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import psutil
import tensorflow as tf

from tfmeta.config import Config
from tfmeta.errors import ModelError
from tfmeta.meta_learning.tasks import Tasks
from tfmeta.models.conv4 import check_weights
from tfmeta.models.flat import layout_of
from tfmeta.models.matching_head import check_support
from tfmeta.utils import threads

if TYPE_CHECKING:
    import pandas as pd

_FEWEST = 5  # tasks at once, also on small machines: no core waits long for the last one
_STEP_BYTES = 60  # memory of a task per value of its support set and filter, measured, on the safe side


def side_by_side(image_shape: Sequence[int], filters: int, support: int) -> int:
    """Return how many tasks run at once: more than there are cores, as far as free memory allows.

    Args:
        image_shape: (H, W, C).
        filters: Filters per module of the model.
        support: Support images per task.
    """
    wanted = max(_FEWEST, threads.cores() + 1)
    size = _STEP_BYTES * support * filters * image_shape[0] * image_shape[1]
    return max(1, min(wanted, int(psutil.virtual_memory().available / 2 / size)))


def points_upto(steps: int) -> tuple[int, ...]:
    """Return the iterations at which a fine-tuning of `steps` is measured: dense at first, and the last.

    A tenth and two fifths of the way are among them: 50 and 200 of the paper's 500.
    """
    marks = {0, 10, 20, 50, 100, 150, 200, 300, 400, *tenths(steps)}
    return tuple(sorted(mark for mark in marks if mark <= steps))


def tenths(steps: int) -> tuple[int, ...]:
    """Return the start, a tenth, two fifths and the end of `steps` iterations (0, 50, 200 and 500 of 500)."""
    return tuple(dict.fromkeys((0, steps // 10, 2 * steps // 5, steps)))


def measure(
    model,
    config: Config,
    weights: list[np.ndarray] | np.ndarray,
    tasks: Tasks,
    points: Sequence[int],
    adapt: Callable[..., tf.Tensor],
    report: Callable[[int], None] = lambda done: None,
    at_once: int | None = None,
) -> dict[str, np.ndarray]:
    """Adapt a model to every task and return its accuracies.

    Args:
        model: The model, such as `Conv4`.
        config: The run's configuration.
        weights: The meta-model's weights; or float32 [n, size], a vector for each task.
        tasks: The tasks.
        points: Ascending iterations at which to measure.
        adapt: A defence's `adapt`, such as `fine_tuning.adapt`.
        report: Called with the number of tasks done since the last call.
        at_once: Tasks that run at once, by default `side_by_side`. It does not change the result.

    Returns:
        float32 [len(points), n] by metric: "main" (for meta-test tasks the meta-test accuracy), and for other tasks
        "backdoor_train" and "backdoor_validation", the share of the triggered images that count in a task which get
        the target's label.

    Raises:
        ModelError: the weights do not fit the model or hold NaN.
        DataError: a support set lacks a class, or its labels are out of range.
    """
    vectors = _vectors(model, weights, len(tasks))
    check_support(tasks.support_labels, model.ways, "the tasks' support sets")
    at_once = at_once or side_by_side(model.image_shape, model.filters, tasks.support.shape[1])
    run = _runner(model, config, tuple(points), adapt, tuple(tasks.triggered), at_once)
    answers = []
    for rows in np.array_split(np.arange(len(tasks)), -(-len(tasks) // at_once)):
        part = tasks.part(slice(rows[0], rows[-1] + 1))
        given = (
            vectors[rows], part.support, part.support_labels, part.queries, part.seeds, list(part.triggered.values()),
        )  # fmt: skip
        given = tf.nest.map_structure(tf.constant, given)
        # not run(*given): TensorFlow would warn about retracing when other defences and points have graphs too
        answers.append(run.get_concrete_function(*_any_number(given))(*given).numpy())
        report(len(part))
    return accuracies(np.concatenate(answers), tasks)


def _vectors(model, weights, number):
    """Return one flat vector of weights for each task, float32 [number, size]."""
    if not isinstance(weights, np.ndarray):
        check_weights(model, weights, "the model to fine-tune", ModelError)
        vector = np.concatenate([np.ravel(part) for part in weights]).astype(np.float32)
        return np.broadcast_to(vector, (number, vector.size))
    size = layout_of(model).size
    if weights.shape != (number, size) or not np.isfinite(weights).all():
        raise ModelError(
            f"the models to fine-tune: an array of shape {list(weights.shape)}, or one with NaN or infinity; give a "
            f"finite vector of {size} numbers for each of {number} tasks"
        )
    return weights


def _any_number(given):
    """Return the specifications of a call's arguments for any number of tasks: one graph serves them all."""
    *of_tasks, triggered = given
    specs = [tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype) for tensor in of_tasks]
    return (*specs, [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in triggered])


@functools.lru_cache(maxsize=32)  # a delta curve has ten configurations, each also for meta-test
def _runner(model, config, points, adapt, groups, at_once):
    """Return the graph that predicts some tasks' queries: int32 [tasks, points, queries]; traced once per shape."""
    del groups
    layout = layout_of(model)

    @tf.function(autograph=False)
    def run(vectors, support, labels, queries, seeds, triggered):
        def one(task):
            vector, support, labels, queries, seed = task
            weights = layout.unpack(vector)
            return adapt(model, config, weights, support, labels, [queries, *triggered], seed, points)

        return tf.map_fn(
            one, (vectors, support, labels, queries, seeds), fn_output_signature=tf.int32, parallel_iterations=at_once
        )

    return run


def accuracies(answers: np.ndarray, tasks: Tasks) -> dict[str, np.ndarray]:
    """Turn predicted labels int32 [n, points, queries] into accuracies float32 [points, n], by metric."""
    own = tasks.query_labels.shape[1]
    right = answers[:, :, :own] == tasks.query_labels[:, None]
    result = {"main": right.mean(2).T.astype(np.float32)}
    start = own
    for name, images in tasks.triggered.items():
        hit = answers[:, :, start : start + len(images)] == tasks.target[:, None, None]
        counted = tasks.counted[name][:, None]
        result[name] = ((hit & counted).sum(2) / counted.sum(2)).T.astype(np.float32)
        start += len(images)
    return result


def table(found: dict[str, np.ndarray], points: Sequence[int], **columns: object) -> "pd.DataFrame":
    """Return accuracies as a tidy table, one row per iteration, task and metric.

    Args:
        found: float32 [points, n] by metric, as `measure` returns them.
        points: The iterations.
        **columns: More columns, with one value for all rows.
    """
    import pandas as pd

    rows = [
        (*columns.values(), iteration, task, metric, float(values[row, task]))
        for metric, values in found.items()
        for row, iteration in enumerate(points)
        for task in range(values.shape[1])
    ]
    return pd.DataFrame(rows, columns=[*columns, "iteration", "task", "metric", "accuracy"])
