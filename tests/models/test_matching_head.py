"""The matching head, compared with the paper's formula in numpy (section 4, ledger 23 to 26)."""

import math

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import small_config
from head_by_hand import (
    LABELS,
    QUERIES,
    SIZE,
    SUPPORT,
    WAYS,
    by_the_paper,
    every_form,
    opened,
    probabilities,
    stored,
)

from tfmeta import registry
from tfmeta.errors import ConfigError
from tfmeta.models.matching_head import MatchingHead, others, split

# --- the formula ------------------------------------------------------------------------------------------------


@every_form
def test_probabilities_follow_the_papers_formula(gates, score):
    alpha, beta = stored(gates)
    expected = by_the_paper(opened(gates, alpha), beta, QUERIES, SUPPORT, LABELS, score)
    assert np.ptp(expected, 0).min() > 0.05  # otherwise swapped queries or classes would go unnoticed
    found = probabilities(MatchingHead(WAYS, SIZE, gates, score), alpha, beta)
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


@every_form
def test_excluded_support_examples_do_not_count(gates, score):
    alpha, beta = stored(gates)
    allowed = np.random.default_rng(4).random((4, len(LABELS))) < 0.6
    allowed[:, 1:4] = True  # one example of each class stays
    assert len(np.unique(allowed, axis=0)) > 2 and not allowed.all(1).any()
    expected = by_the_paper(opened(gates, alpha), beta, QUERIES, SUPPORT, LABELS, score, allowed)
    found = probabilities(MatchingHead(WAYS, SIZE, gates, score), alpha, beta, allowed=tf.constant(allowed))
    np.testing.assert_allclose(found, expected, rtol=2e-5)


@every_form
def test_gradients_follow_the_papers_formula(gates, score):
    """Compare the gradients of the training loss with finite differences of the formula."""
    head, given = MatchingHead(WAYS, SIZE, gates, score), [*stored(gates), QUERIES, SUPPORT]
    wanted = [2, 0, 1, 1]
    tensors = [tf.constant(part) for part in given]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        logs = head.log_probabilities(*tensors, LABELS)
        loss = -tf.reduce_mean(tf.gather(logs, wanted, batch_dims=1))
    gradients = tape.gradient(loss, tensors, unconnected_gradients="zero")

    def formula(parts):
        answers = by_the_paper(opened(gates, parts[0]), *parts[1:], LABELS, score)
        return -np.mean(np.log(answers[np.arange(4), wanted]))

    for which, gradient in enumerate(gradients):
        expected = np.zeros(given[which].shape)
        for place in np.ndindex(expected.shape):
            moved = []
            for by in (1e-5, -1e-5):
                parts = [np.float64(part) for part in given]
                parts[which][place] += by
                moved.append(formula(parts))
            expected[place] = (moved[0] - moved[1]) / 2e-5
        assert np.abs(expected).max() > 1e-3 or (gates == "fixed" and which == 0)
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), expected, atol=1e-5 + 1e-4 * np.abs(expected).max())


@every_form
def test_feature_lengths_do_not_matter(gates, score):
    head, (alpha, beta) = MatchingHead(WAYS, SIZE, gates, score), stored(gates)
    plain = probabilities(head, alpha, beta)
    longer, shorter = QUERIES * [[1], [1000], [0.01], [7]], SUPPORT * np.geomspace(0.01, 1000, 7)[:, None]
    found = probabilities(head, alpha, beta, longer.astype(np.float32), shorter.astype(np.float32))
    np.testing.assert_allclose(found, plain, rtol=1e-4)


def test_the_head_has_the_configurations_form():
    config = small_config(gates="sigmoid", score="class-mean", beta_initial=4.0)
    for own, form in ((config, ("sigmoid", "class-mean", 4.0)), (small_config(), ("projected", "examples", 10.0))):
        defence = registry.build("defences", own, "matching")
        assert (defence.gates, defence.score, defence.beta_initial) == form  # ledger 23-25
    assert MatchingHead(3, 20) == MatchingHead(3, 20, *form)


# --- gates and scales -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gates", "start", "open_to"), [("projected", 1, 1), ("fixed", 1, 1), ("sigmoid", 3, 0.9526)])
def test_initial_values_are_the_documented_ones(gates, start, open_to):
    head = MatchingHead(WAYS, SIZE, gates, beta_initial=12.5)
    alpha, beta = head.initial()
    assert alpha.dtype == beta.dtype == tf.float32
    assert (alpha.numpy() == np.full((WAYS, SIZE), start)).all() and (beta.numpy() == np.full(WAYS, 12.5)).all()
    np.testing.assert_allclose(head.gate(alpha), np.full((WAYS, SIZE), open_to), atol=1e-4)


@pytest.mark.parametrize("gates", ["projected", "sigmoid", "fixed"])
def test_gates_are_between_0_and_1_after_any_step(gates):
    head, after = MatchingHead(1, SIZE, gates), tf.constant([[-60.0, -0.1, 0.0, 0.4, 1.0, 60.0]])
    gate = head.gate(head.projected(after)).numpy()
    assert (gate >= 0).all() and (gate <= 1).all()
    if gates == "projected":
        np.testing.assert_array_equal(gate, np.float32([[0, 0, 0, 0.4, 1, 1]]))
    else:  # the stored value need not be in [0, 1]
        np.testing.assert_array_equal(head.projected(after), after)
        assert (gate == 1).all() == (gates == "fixed")


@pytest.mark.parametrize(("field", "value"), [("gates", "open"), ("gates", None), ("score", "sum")])
def test_unknown_forms_are_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=f"^{field} = {value!r} "):
        MatchingHead(WAYS, SIZE, **{field: value})


# --- leave-one-out and split ------------------------------------------------------------------------------------


@every_form
def test_leave_one_out_equals_a_support_set_without_the_query(gates, score):
    head, (alpha, beta) = MatchingHead(WAYS, SIZE, gates, score), stored(gates)
    found = probabilities(head, alpha, beta, SUPPORT, allowed=others(LABELS))
    for number, label in enumerate(LABELS):
        rest = np.arange(len(LABELS)) != number
        if label == 0:  # its class's only example
            rest[:] = True
        expected = probabilities(head, alpha, beta, SUPPORT[[number]], SUPPORT[rest], LABELS[rest])
        np.testing.assert_allclose(found[number], expected[0], rtol=2e-5)
    everything = probabilities(head, alpha, beta, SUPPORT)
    assert np.abs(found - everything)[LABELS != 0].max(1).min() > 1e-4  # the exclusion changes the result


def test_with_one_shot_nothing_is_excluded():
    assert others(tf.constant([2, 0, 1])).numpy().all()
    seen = others(tf.constant(LABELS)).numpy()
    expected = ~np.eye(len(LABELS), dtype=bool)
    expected[1, 1] = True
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_split_chooses_queries_of_each_class_uniformly(number):
    labels, draws = tf.constant([1, 0, 0, 1, 2, 0, 1, 2, 2, 0, 1, 2]), 3000
    scores = tf.random.stateless_uniform([draws, 12], (1, number))
    chosen = tf.vectorized_map(lambda row: split(labels, row, number), scores).numpy()
    assert chosen.dtype == bool
    for label in range(3):
        assert (chosen[:, labels.numpy() == label].sum(1) == number).all()
    assert np.abs(chosen.mean(0) - number / 4).max() < 5 * math.sqrt(3 / 16 / draws)  # 5 standard deviations
    own = chosen[:, labels.numpy() == 0]
    pairs = {tuple(row) for row in own}
    assert len(pairs) == math.comb(4, number)  # every combination occurs
    assert len({tuple(row) for row in chosen}) > len(pairs)  # the classes' draws are independent


def test_split_takes_the_lowest_scores_and_no_more_if_they_are_equal():
    labels = tf.constant([0, 1, 0, 1, 0])
    np.testing.assert_array_equal(split(labels, tf.constant([0.5, 0.9, 0.1, 0.8, 0.7]), 1), [0, 0, 1, 1, 0])
    chosen = split(labels, tf.zeros(5), 1).numpy()  # otherwise a class could be left without support
    assert chosen[[0, 2, 4]].sum() == 1 and chosen[[1, 3]].sum() == 1
