"""How many tasks are evaluated at once, and that it does not change the result."""

import numpy as np
import pytest
import tensorflow as tf
from easy_tasks import DEFENCES, MODEL, SETTINGS, Told, defence_of, easy_tasks

from tfmeta.defences.fine_tuning import FineTuning
from tfmeta.meta_learning import evaluation
from tfmeta.utils import memory, threads


@pytest.mark.slow
@pytest.mark.parametrize("defence", DEFENCES)
def test_accuracies_are_bit_identical_however_many_tasks_run_at_once(defence):
    tasks, weights, results = easy_tasks(), MODEL.initial_weights(0), []
    for at_once, chunks in ((1, [1] * 7), (2, [2, 2, 2, 1]), (7, [7])):
        done = []
        found = evaluation.measure(
            MODEL, SETTINGS, weights, tasks, (0, 2, 12), defence_of(defence), done.append, at_once=at_once
        )
        assert done == chunks
        results.append({name: values.tobytes() for name, values in found.items()})
    assert results[0] == results[1] == results[2]
    assert 0 < np.frombuffer(results[0]["backdoor_train"], np.float32).mean() < 1


@pytest.mark.parametrize("at_once", [1, 3, 7])
def test_tasks_run_at_once_and_no_more_than_are_allowed(at_once):
    """Count the tasks that have started and not yet ended."""
    running, most = [0], [0]

    def enter(seed):
        running[0] += 1
        most[0] = max(most[0], running[0])
        return seed

    def leave(answers):
        running[0] -= 1
        return answers

    class Counted(FineTuning):
        def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):
            # not stateful: TensorFlow would run stateful operations one after another
            seed = tf.ensure_shape(tf.numpy_function(enter, [seed], tf.int32, stateful=False), [2])
            found = super().adapt(model, evaluation, weights, support, labels, query_groups, seed, points)
            return tf.ensure_shape(tf.numpy_function(leave, [found], tf.float32, stateful=False), found.shape)

    some = min(at_once, 2)  # on two cores a task may end before a third one has started
    for _ in range(10):
        weights = MODEL.initial_weights(0)
        evaluation.measure(MODEL, SETTINGS, weights, easy_tasks(), (0, 60), Counted(), at_once=at_once)
        assert running[0] == 0
        if most[0] >= some:
            break
    assert some <= most[0] <= at_once


@pytest.mark.parametrize(("cores", "expected"), [(1, 5), (2, 5), (4, 5), (8, 9), (64, 65)])
def test_more_tasks_than_cores_run_at_once(monkeypatch, cores, expected):
    monkeypatch.setattr(threads, "cores", lambda: cores)
    with_memory(monkeypatch, 2**40)
    assert evaluation.side_by_side((84, 84, 3), 64, 25, 155) == expected


def test_memory_limits_the_tasks_at_once(monkeypatch):
    """An 84x84 task of 25 support images, 155 queries and 64 filters takes 0.6 GB, and half of the memory is used."""
    monkeypatch.setattr(threads, "cores", lambda: 64)
    at_once = []
    for available in (0, 1e9, 4e9, 16e9, 64e9):
        with_memory(monkeypatch, available)
        at_once.append(evaluation.side_by_side((84, 84, 3), 64, 25, 155))
    assert at_once[:2] == [1, 1] and 2 <= at_once[2] <= 3 and 9 <= at_once[3] <= 13 and 36 <= at_once[4] <= 53
    with_memory(monkeypatch, 4e9)
    assert evaluation.side_by_side((84, 84, 3), 64, 25, 5) > at_once[2]  # fewer queries
    assert evaluation.side_by_side((84, 84, 3), 64, 50, 155) <= at_once[2]  # more support
    assert evaluation.side_by_side((28, 28, 1), 64, 25, 45) > at_once[2]  # smaller images


def with_memory(monkeypatch, available):
    given = memory.psutil.virtual_memory()._replace(available=int(available))
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: given)


def test_measuring_uses_what_cores_and_memory_allow(monkeypatch):
    tasks, done = easy_tasks(13), []
    monkeypatch.setattr(threads, "cores", lambda: 11)
    for available in (2**40, 0):
        with_memory(monkeypatch, available)
        evaluation.measure(MODEL, SETTINGS, MODEL.initial_weights(0), tasks, (0,), Told(), done.append)
    assert done == [7, 6] + 13 * [1]  # 13 tasks, at most 12 at once, in equal parts


@pytest.mark.parametrize(("limit", "expected"), [("max\n", 65), (str(8 * 10**9), 4), (str(10**9), 1)])
def test_the_memory_of_a_container_counts_where_it_is_less(monkeypatch, tmp_path, limit, expected):
    monkeypatch.setattr(threads, "cores", lambda: 64)
    with_memory(monkeypatch, 2**40)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.current").write_text(str(10**9))
    assert evaluation.side_by_side((84, 84, 3), 64, 25, 155) == expected
