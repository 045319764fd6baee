"""The accuracies of tasks (ledger 20)."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from easy_tasks import DEFENCES, MODEL, SETTINGS, Told, defence_of, easy_tasks

from tfmeta.errors import DataError, ModelError
from tfmeta.meta_learning import evaluation
from tfmeta.meta_learning.tasks import Tasks
from tfmeta.models.conv4 import Conv4


@pytest.mark.parametrize("steps", [1, 5, 10, 20, 50, 51, 200, 500, 1000])
def test_points_start_at_0_and_end_with_the_last_step(steps):
    points = evaluation.points_upto(steps)
    assert points[0] == 0 and points[-1] == steps and list(points) == sorted(set(points))
    assert 50 in points or steps < 50  # the text of the figures names them
    assert 200 in points or steps < 200


def test_points_of_the_papers_500_steps():
    assert evaluation.points_upto(500) == (0, 10, 20, 50, 100, 150, 200, 300, 400, 500)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(500, (0, 50, 200, 500)), (200, (0, 20, 80, 200)), (20, (0, 2, 8, 20)), (1, (0, 1)), (7, (0, 2, 7))],
)
def test_tenths_are_the_papers_iterations_scaled(steps, expected):
    assert evaluation.tenths(steps) == expected


def test_the_tables_iterations_are_among_the_figures_points():
    for steps in range(1, 1001):
        assert set(evaluation.tenths(steps)) <= set(evaluation.points_upto(steps))


def by_hand():
    """Return the answers to two tasks of three queries, four and two triggered images, and the tasks."""
    tasks = Tasks(
        support=np.zeros([2, 1]), support_labels=np.zeros([2, 1]), queries=np.zeros([2, 3]),
        query_labels=np.array([[2, 0, 1], [0, 1, 2]]),
        triggered={"backdoor_train": np.zeros([4, 1]), "backdoor_validation": np.zeros([2, 1])},
        counted={
            "backdoor_train": np.array([[True] * 4, [False, False, True, True]]),
            "backdoor_validation": np.array([[True, True], [True, False]]),
        },
        target=np.array([2, 1]), seeds=np.zeros([2, 2]),
    )  # fmt: skip
    answers = np.array([
        #  main      backdoor_train  backdoor_validation
        [[2, 0, 1,   2, 2, 2, 2,     2, 2], [0, 0, 0,   1, 1, 1, 0,   0, 1]],
        [[2, 1, 0,   2, 0, 1, 1,     2, 0], [0, 1, 2,   0, 0, 1, 1,   1, 0]],
        [[0, 1, 2,   0, 1, 1, 0,     1, 1], [1, 1, 1,   1, 1, 0, 2,   2, 1]],
    ])  # fmt: skip
    return np.swapaxes(answers, 0, 1), tasks


def test_accuracies_by_hand():
    answers, tasks = by_hand()
    assert answers.shape == (2, 3, 9)
    result = evaluation.accuracies(answers, tasks)
    assert list(result) == ["main", "backdoor_train", "backdoor_validation"]
    expected = {
        "main": [[1, 1 / 3], [1 / 3, 1], [0, 1 / 3]],
        # only counted images matter, and only the target's label is a hit
        "backdoor_train": [[1, 1 / 2], [1 / 4, 1], [0, 0]],
        "backdoor_validation": [[1, 0], [1 / 2, 1], [0, 0]],
    }
    for name, values in expected.items():
        assert result[name].dtype == np.float32
        np.testing.assert_allclose(result[name], values, rtol=1e-6, err_msg=name)


def test_meta_test_tasks_have_no_backdoor():
    answers, tasks = by_hand()
    tasks = Tasks(tasks.support, tasks.support_labels, tasks.queries, tasks.query_labels, {}, {}, None, tasks.seeds)
    result = evaluation.accuracies(answers[:, :, :3], tasks)
    assert list(result) == ["main"] and result["main"].shape == (3, 2)


# the matching head tells stripes apart before any training
@pytest.mark.slow
@pytest.mark.parametrize(("defence", "untrained"), [("fine_tuning", 0.8), ("matching", 1.0), ("noise_mix", 0.8)])
def test_every_defence_learns_easy_tasks(defence, untrained):
    tasks, done, weights = easy_tasks(), [], MODEL.initial_weights(0)
    result = evaluation.measure(MODEL, SETTINGS, weights, tasks, (0, 60), defence_of(defence), done.append, at_once=5)
    assert {name: values.shape for name, values in result.items()} == dict.fromkeys(result, (2, 7))
    assert result["main"][0].mean() <= untrained and result["main"][1].mean() > 0.95
    # three of four triggered images look like the target; the fourth counts in the first group only
    np.testing.assert_allclose(result["backdoor_train"][1], 0.75, atol=0.11)
    assert result["backdoor_validation"][1].mean() > 0.95
    assert done == [4, 3]


def test_a_defence_receives_each_task_unchanged(monkeypatch):
    tasks, seen, digits = easy_tasks(), {}, range(8)  # 3**8 is more than any number that is told

    def remember(answers, of):
        seen.update(answers=answers, of=of)
        return {}

    monkeypatch.setattr(evaluation, "accuracies", remember)
    for bias in (0.0, 3.0):  # the second time with the same graph
        weights = MODEL.initial_weights(0)
        weights[-1] = np.full(3, bias, np.float32)
        told = np.zeros((7, 2, 11), int)
        for digit in digits:
            evaluation.measure(MODEL, SETTINGS, weights, tasks, [0, 5], Told(digit=digit))
            assert seen["of"] is tasks and seen["answers"].shape == (7, 2, 11)
            told += seen["answers"] * 3**digit
        triggered = np.concatenate([group[:, 0, 0, 0] for group in tasks.triggered.values()]).astype(int)
        for number in range(7):
            shift = tasks.seeds[number].sum() + tasks.support_labels[number].sum() + 3 * bias
            shift += tasks.support[number, 0, 0, 0, 0]
            base = np.concatenate([tasks.queries[number, :, 0, 0, 0].astype(int), triggered]) + shift
            assert (told[number] == [base, base + 5]).all()


def test_tasks_of_the_same_shape_share_a_graph_however_many_run_at_once():
    calls = []

    class Counted(Told):
        def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):
            calls.append(1)
            return super().adapt(model, evaluation, weights, support, labels, query_groups, seed, points)

    for start, at_once in ((0, 5), (1, 5), (0, 2)):
        tasks, weights = easy_tasks(6).part(slice(start, start + 5)), MODEL.initial_weights(start)
        evaluation.measure(MODEL, SETTINGS, weights, tasks, (0, 1), Counted(), at_once=at_once)
    assert len(calls) == 1


# --- defences and bad input -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("defence", DEFENCES)
def test_each_task_is_adapted_with_its_own_seed(defence):
    tasks, weights = easy_tasks(2), MODEL.initial_weights(0)
    alone = [
        defence_of(defence).adapt(
            MODEL, SETTINGS, [tf.constant(part) for part in weights], tasks.support[number],
            tf.constant(tasks.support_labels[number]), [tasks.queries[number], *tasks.triggered.values()],
            tf.constant(tasks.seeds[number]), (0, 3),
        ).numpy().argmax(2)
        for number in range(2)
    ]  # fmt: skip
    expected = evaluation.accuracies(np.stack(alone), tasks)
    found = evaluation.measure(MODEL, SETTINGS, weights, tasks, (0, 3), defence_of(defence))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def measured(defence="matching", weights=None, **changed):
    tasks = dataclasses.replace(easy_tasks(2), **changed)
    return evaluation.measure(MODEL, SETTINGS, weights or MODEL.initial_weights(0), tasks, (0,), defence_of(defence))


@pytest.mark.parametrize("defence", DEFENCES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_with_nan_are_refused(defence, value):
    for which in (0, -1):
        weights = MODEL.initial_weights(0)
        weights[which].flat[-1] = value
        with pytest.raises(ModelError, match=r"^the model to fine-tune: the weights hold NaN"):
            measured(defence, weights)


def test_weights_of_another_model_are_refused():
    for weights in (Conv4((16, 16, 1), 3, 4).initial_weights(0), MODEL.initial_weights(0)[:-2]):
        with pytest.raises(ModelError, match=r"^the model to fine-tune: weights of shapes .* but the model has"):
            measured(weights=weights)


@pytest.mark.parametrize("defence", DEFENCES)
@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ([0, 0, 0, 0, 2, 2, 2, 2, 0, 0, 0, 0], r"no support example of class \[1\]"),
        ([0, 1, 2] * 3 + [0, 1, 3], r"\[3\]"),
    ],
)
def test_a_wrong_support_set_is_refused_by_task(defence, labels, named):
    support_labels = easy_tasks(2).support_labels
    support_labels[1] = labels
    with pytest.raises(DataError, match="^the tasks' support sets, task 1: .*" + named):
        measured(defence, support_labels=support_labels)


@pytest.mark.slow
def test_each_task_may_have_its_own_weights():
    tasks = easy_tasks(3)
    sets = [MODEL.initial_weights(seed) for seed in (0, 1, 2)]
    vectors = np.stack([np.concatenate([np.ravel(part) for part in weights]) for weights in sets])
    together = evaluation.measure(MODEL, SETTINGS, vectors, tasks, (0, 5), defence_of("fine_tuning"))
    for number, weights in enumerate(sets):
        task = tasks.part(slice(number, number + 1))
        alone = evaluation.measure(MODEL, SETTINGS, weights, task, (0, 5), defence_of("fine_tuning"))
        for name, values in alone.items():
            np.testing.assert_array_equal(values[:, 0], together[name][:, number], err_msg=name)
    vectors[1, 3] = np.nan
    for wrong in (vectors, vectors[:2], vectors[:, 1:]):
        with pytest.raises(ModelError, match="the models to fine-tune"):
            evaluation.measure(MODEL, SETTINGS, wrong, tasks, (0, 5), defence_of("fine_tuning"))
