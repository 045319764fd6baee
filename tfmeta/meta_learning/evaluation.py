"""The accuracies of tasks (section 3, ledger 20): main task or meta-test, and backdoor on two sets of images."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfmeta.errors import ModelError, PluginError
from tfmeta.meta_learning.adaptation import AdaptationSettings
from tfmeta.meta_learning.tasks import Tasks
from tfmeta.models.base import PureModel, check_weights
from tfmeta.models.flat import layout_of
from tfmeta.models.matching_head import check_support
from tfmeta.utils import memory, threads

if TYPE_CHECKING:
    import pandas as pd

    from tfmeta.defences.base import Defence

_FEWEST = 5  # tasks at once on small machines: no core waits long for the last one
# Bytes of memory per filter, pixel and image, measured (28x28x1 and 84x84x3, 32 and 64 filters) and rounded up. A
# training step keeps the output of every layer for the support set, a prediction that of one layer for all images.
_TRAINING_BYTES, _PREDICTION_BYTES = 28, 10
_ROUNDING = 1e-3  # by which probabilities may differ from 1 in sum
_UNLIMITED = 1000  # tasks at once, in a graph: it is given no more tasks than may run at once


def side_by_side(image_shape: Sequence[int], filters: int, support: int, queries: int) -> int:
    """Return how many tasks run at once: more than there are cores, and no more than half of the free memory holds.

    Args:
        image_shape: (H, W, C).
        filters: Filters per module of the model.
        support: Support images per task.
        queries: Images per task that the model is tested on, triggered ones included.
    """
    wanted = max(_FEWEST, threads.cores() + 1)
    bytes_per_value = max(_TRAINING_BYTES * support, _PREDICTION_BYTES * (support + queries))
    size = bytes_per_value * filters * image_shape[0] * image_shape[1]
    return max(1, min(wanted, memory.free() // (2 * size)))


def points_upto(steps: int) -> tuple[int, ...]:
    """Return the iterations at which a fine-tuning of `steps` is measured, `tenths` among them."""
    marks = {0, 10, 20, 50, 100, 150, 200, 300, 400, *tenths(steps)}
    return tuple(sorted(mark for mark in marks if mark <= steps))


def tenths(steps: int) -> tuple[int, ...]:
    """Return the start, a tenth, two fifths and the end of `steps` iterations (0, 50, 200 and 500 of 500)."""
    return tuple(dict.fromkeys((0, steps // 10, 2 * steps // 5, steps)))


def measure(
    model: PureModel, settings: AdaptationSettings, weights: list[np.ndarray] | np.ndarray, tasks: Tasks,
    points: Sequence[int], defence: "Defence", report: Callable[[int], None] = lambda done: None,
    at_once: int | None = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Adapt a model to every task and return its accuracies.

    Args:
        model: The network.
        settings: What all defences share, such as the learning rate.
        weights: The meta-model's weights; or float32 [n, size], a vector for each task.
        tasks: The tasks.
        points: Ascending iterations at which to measure.
        defence: The defence; its options are bound to a configuration.
        report: Called with the number of tasks done since the last call.
        at_once: Tasks that run at once, by default `side_by_side`. It does not change the result.

    Returns:
        float32 [len(points), n] by metric: "main" (for meta-test tasks the meta-test accuracy), and for other tasks
        "backdoor_train" and "backdoor_validation": of the triggered images that count in a task, the share that gets
        the target's label.

    Raises:
        ModelError: the weights do not fit the model or hold NaN.
        DataError: a support set lacks a class, or its labels are out of range.
        PluginError: the defence returns no class probabilities (shape, NaN, negative, or a sum that is not 1).
    """
    vectors = _vectors(model, weights, len(tasks))
    check_support(tasks.support_labels, model.ways, "the tasks' support sets")
    queries = tasks.queries.shape[1] + sum(map(len, tasks.triggered.values()))
    at_once = at_once or side_by_side(model.image_shape, model.filters, tasks.support.shape[1], queries)
    run = _runner(model, settings, tuple(points), defence)
    answers = []
    for rows in np.array_split(np.arange(len(tasks)), -(-len(tasks) // at_once)):
        part = tasks.part(slice(rows[0], rows[-1] + 1))
        given = [vectors[rows], part.support, part.support_labels, part.queries, part.seeds]
        given, triggered = tf.nest.map_structure(tf.constant, (given, list(part.triggered.values())))
        specs = [tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype) for tensor in given]  # any number of tasks
        # not run(given, triggered): TensorFlow would warn of retracing, which other defences and points need
        labels, kept = run.get_concrete_function(specs, triggered)(given, triggered)
        if not kept.numpy().all():
            raise _refused(defence, "values that are negative, NaN or do not add up to 1 over the classes")
        answers.append(labels.numpy())
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


@functools.lru_cache(maxsize=32)  # a delta curve has ten configurations, each also for meta-test
def _runner(model, settings, points, defence):
    """Return the graph that predicts some tasks' queries; traced once a shape.

    It returns labels int32 [tasks, points, queries], and bool [tasks]: whether they come from class probabilities.
    """
    layout = layout_of(model)

    @tf.function(autograph=False)
    def run(tasks, triggered):
        def one(task):
            vector, support, labels, queries, seed = task
            groups = [queries, *triggered]
            found = defence.adapt(model, settings, layout.unpack(vector), support, labels, groups, seed, points)
            return _label(defence, found, [len(points), sum(group.shape[0] for group in groups), model.ways])

        return tf.map_fn(one, tasks, fn_output_signature=(tf.int32, tf.bool), parallel_iterations=_UNLIMITED)

    return run


def _label(defence, found, wanted):
    """Return the labels of class probabilities, and whether that is what they are."""
    found = tf.constant(found) if isinstance(found, np.ndarray) else found
    shape, dtype = getattr(found, "shape", None), getattr(found, "dtype", type(found).__name__)
    if dtype != tf.float32 or not shape.is_compatible_with(wanted):
        raise _refused(defence, f"{getattr(dtype, 'name', dtype)} {shape} where float32 {wanted} is asked for")
    known = tf.reduce_all((found >= 0) & (tf.abs(tf.reduce_sum(found, 2, keepdims=True) - 1) < _ROUNDING))
    return tf.argmax(found, axis=2, output_type=tf.int32), known  # a NaN fails every comparison


def _refused(defence, what):
    asked = "its adapt must return class probabilities, float32 [points, queries, ways]"
    return PluginError(f"the defence {defence.NAME} returned {what}; {asked}")


def accuracies(answers: np.ndarray, tasks: Tasks) -> dict[str, np.ndarray]:
    """Turn predicted labels int32 [n, points, queries] into accuracies float32 [points, n], by metric."""
    start = tasks.query_labels.shape[1]
    right = answers[:, :, :start] == tasks.query_labels[:, None]
    result = {"main": right.mean(2).T.astype(np.float32)}
    for name, images in tasks.triggered.items():
        hit = answers[:, :, start : start + len(images)] == tasks.target[:, None, None]
        counted = tasks.counted[name][:, None]
        result[name] = ((hit & counted).sum(2) / counted.sum(2)).T.astype(np.float32)
        start += len(images)
    return result


def table(found: dict[str, np.ndarray], points: Sequence[int], **columns: object) -> "pd.DataFrame":
    """Return accuracies as a tidy table, one row per iteration, task and metric.

    `found` has float32 [points, n] by metric, as `measure` returns them; `columns` have one value for all rows.
    """
    import pandas as pd

    rows = [
        (*columns.values(), iteration, task, metric, float(values[row, task]))
        for metric, values in found.items()
        for row, iteration in enumerate(points)
        for task in range(values.shape[1])
    ]
    return pd.DataFrame(rows, columns=[*columns, "iteration", "task", "metric", "accuracy"])
