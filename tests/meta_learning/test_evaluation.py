"""The accuracies of tasks (ledger 20)."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import small_config

from tfmeta.defences import matching
from tfmeta.errors import ConfigError, DataError, ModelError
from tfmeta.meta_learning import adaptation, evaluation
from tfmeta.meta_learning.tasks import Tasks
from tfmeta.models.conv4 import Conv4

MODEL = Conv4((16, 16, 1), 3, 8)


def config(**overrides):
    return small_config(ways=3, shots=4, triggered_shots=2, target_shots=2, inner_learning_rate=0.01, **overrides)


@pytest.mark.parametrize("steps", [1, 5, 10, 20, 50, 51, 200, 500, 1000])
def test_points_begin_at_0_and_end_with_the_last_step(steps):
    points = evaluation.points_upto(steps)
    assert points[0] == 0 and points[-1] == steps and list(points) == sorted(set(points))
    assert 50 in points or steps < 50  # what the figures' text speaks of
    assert 200 in points or steps < 200


def test_points_of_the_papers_fine_tuning():
    assert evaluation.points_upto(500) == (0, 10, 20, 50, 100, 150, 200, 300, 400, 500)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(500, (0, 50, 200, 500)), (200, (0, 20, 80, 200)), (20, (0, 2, 8, 20)), (1, (0, 1)), (7, (0, 2, 7))],
)
def test_tenths_are_the_papers_iterations_scaled(steps, expected):
    assert evaluation.tenths(steps) == expected


def test_tables_find_their_iterations_among_the_figures():
    for steps in range(1, 1001):
        assert set(evaluation.tenths(steps)) <= set(evaluation.points_upto(steps))


def by_hand():
    """Two tasks of three queries, with two and one triggered images."""
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
        # only the images asked about count, and only the target's label
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


def easy_tasks(number=7):
    """Tasks of stripes: class c, whatever its label, has its own; triggered images look like the target or another."""
    random = np.random.default_rng(0)

    def striped(of):
        image = random.integers(0, 60, (16, 16, 1))
        image[:, :, 0] += 180 * (np.indices((16, 16))[of % 2] // (2 + 3 * (of // 2)) % 2)
        return image.astype(np.uint8)

    labels = np.stack([random.permutation(3) for _ in range(number)]).astype(np.int32)
    support_labels = np.repeat(labels, 4, axis=1)
    triggered = {name: np.stack([striped(of) for of in (0, 0, 1, 0)]) for name in ("backdoor_train", "backdoor_validation")}
    return Tasks(
        support=np.stack([[striped(of) for of in np.repeat(np.arange(3), 4)] for _ in range(number)]),
        support_labels=support_labels,
        queries=np.stack([[striped(of) for of in range(3)] for _ in range(number)]),
        query_labels=labels,
        triggered=triggered,
        counted={
            "backdoor_train": np.ones([number, 4], bool),
            "backdoor_validation": np.tile([True, True, False, True], (number, 1)),
        },
        target=labels[:, 0],
        seeds=random.integers(0, 1000, (number, 2)).astype(np.int32),
    )


@pytest.mark.parametrize(("method", "untrained"), [("softmax", 0.8), ("matching", 1.0), ("softmax-mixed", 0.8)])
def test_fine_tuning_learns_easy_tasks(method, untrained):
    tasks, done, model = easy_tasks(), [], MODEL.initial_weights(0)  # stripes match before any training
    result = evaluation.measure(MODEL, config(), model, tasks, (0, 60), method, done.append)
    assert {name: values.shape for name, values in result.items()} == dict.fromkeys(result, (2, 7))
    assert result["main"][0].mean() <= untrained and result["main"][1].mean() > 0.95
    # three of four triggered images look like the target; the fourth is asked about in the first group only
    np.testing.assert_allclose(result["backdoor_train"][1], 0.75, atol=0.11)
    assert result["backdoor_validation"][1].mean() > 0.95
    assert sum(done) == 7 and len(done) == 2  # five at once


def told(model, config, weights, support, labels, groups, seed, points):
    """A method whose answers tell what it was given: label + seed + point, off by one where the support is dark."""
    del model, config
    assert [group.shape[0] for group in groups] == [3, 4, 4]
    shift = tf.reduce_sum(seed) + tf.reduce_sum(labels) + tf.cast(tf.reduce_sum(weights[-1]), tf.int32)
    shift += tf.cast(support[0, 0, 0, 0], tf.int32)
    base = tf.concat([tf.cast(group[:, 0, 0, 0], tf.int32) for group in groups], 0)
    return tf.stack([base + shift + point for point in points])


def test_a_method_is_given_each_task_as_it_is(monkeypatch):
    tasks, seen = easy_tasks(), {}

    def remember(answers, of):
        seen.update(answers=answers, of=of)
        return {}

    monkeypatch.setattr(evaluation, "accuracies", remember)
    for bias in (0.0, 3.0):  # the second time through the same graph
        weights = MODEL.initial_weights(0)
        weights[-1] = np.full(3, bias, np.float32)
        evaluation.measure(MODEL, config(), weights, tasks, [0, 5], method=told)
        assert seen["of"] is tasks and seen["answers"].shape == (7, 2, 11)
        triggered = np.concatenate([group[:, 0, 0, 0] for group in tasks.triggered.values()]).astype(int)
        for number in range(7):
            shift = tasks.seeds[number].sum() + tasks.support_labels[number].sum() + 3 * bias
            shift += tasks.support[number, 0, 0, 0, 0]
            base = np.concatenate([tasks.queries[number, :, 0, 0, 0].astype(int), triggered]) + shift
            assert (seen["answers"][number] == [base, base + 5]).all()


def test_tasks_of_one_shape_do_not_trace_again():
    calls = []

    def counted(*arguments):
        calls.append(1)
        return told(*arguments)

    for start in (0, 1):
        tasks = easy_tasks(6).part(slice(start, start + 5))
        evaluation.measure(MODEL, config(seed=5), MODEL.initial_weights(start), tasks, (0, 1), method=counted)
    assert len(calls) == 1


# --- methods and bad input ------------------------------------------------------------------------


def test_methods_by_name():
    assert evaluation.method_of("softmax") == (adaptation.supervised, "softmax")
    assert evaluation.method_of("matching") == (matching.matching, "matching")
    assert evaluation.method_of("softmax-mixed") == (adaptation.supervised_from_mix, "softmax")


@pytest.mark.parametrize("method", ["softmax", "matching", "softmax-mixed"])
def test_a_name_measures_its_method_with_each_tasks_seed(method):
    tasks, weights = easy_tasks(2), MODEL.initial_weights(0)
    alone = [
        evaluation.method_of(method)[0](
            MODEL, config(), [tf.constant(part) for part in weights], tasks.support[number],
            tf.constant(tasks.support_labels[number]), [tasks.queries[number], *tasks.triggered.values()],
            tf.constant(tasks.seeds[number]), (0, 3),
        ).numpy()
        for number in range(2)
    ]  # fmt: skip
    expected = evaluation.accuracies(np.stack(alone), tasks)
    found = evaluation.measure(MODEL, config(), weights, tasks, (0, 3), method)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def measured(method="matching", weights=None, **changed):
    tasks = dataclasses.replace(easy_tasks(2), **changed)
    return evaluation.measure(MODEL, config(), weights or MODEL.initial_weights(0), tasks, (0,), method)


@pytest.mark.parametrize("name", ["attention", "", None])
def test_an_unknown_method_is_refused_by_name(name):
    with pytest.raises(ConfigError, match=f"^unknown method {name!r}: choose one of softmax, matching, softmax-mixed"):
        measured(name)


@pytest.mark.parametrize("method", evaluation.METHODS)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_poisoned_weights_with_nan_are_refused(method, value):
    for which in (0, -1):
        weights = MODEL.initial_weights(0)
        weights[which].flat[-1] = value
        with pytest.raises(ModelError, match=r"^the model to fine-tune: the weights hold NaN"):
            measured(method, weights)


def test_weights_of_another_model_are_refused():
    for weights in (Conv4((16, 16, 1), 3, 4).initial_weights(0), MODEL.initial_weights(0)[:-2]):
        with pytest.raises(ModelError, match=r"^the model to fine-tune: weights of shapes .* but the model has"):
            measured(weights=weights)


@pytest.mark.parametrize("method", evaluation.METHODS)
@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ([0, 0, 0, 0, 2, 2, 2, 2, 0, 0, 0, 0], r"no support example of class \[1\]"),
        ([0, 1, 2] * 3 + [0, 1, 3], r"\[3\]"),
    ],
)
def test_support_sets_that_do_not_fit_are_refused_by_task(method, labels, named):
    support_labels = easy_tasks(2).support_labels
    support_labels[1] = labels
    with pytest.raises(DataError, match="^the tasks' support sets, task 1: .*" + named):
        measured(method, support_labels=support_labels)


def test_tasks_may_have_weights_of_their_own():
    tasks = easy_tasks(3)
    sets = [MODEL.initial_weights(seed) for seed in (0, 1, 2)]
    vectors = np.stack([np.concatenate([np.ravel(part) for part in weights]) for weights in sets])
    together = evaluation.measure(MODEL, config(), vectors, tasks, (0, 5))
    for number, weights in enumerate(sets):
        alone = evaluation.measure(MODEL, config(), weights, tasks.part(slice(number, number + 1)), (0, 5))
        for name, values in alone.items():
            np.testing.assert_array_equal(values[:, 0], together[name][:, number], err_msg=name)
    vectors[1, 3] = np.nan
    for wrong in (vectors, vectors[:2], vectors[:, 1:]):
        with pytest.raises(ModelError, match="the models to fine-tune"):
            evaluation.measure(MODEL, config(), wrong, tasks, (0, 5))
