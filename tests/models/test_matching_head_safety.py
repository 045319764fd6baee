"""The matching head with extreme features, scales and gates, and wrong support sets (section 4, ledger 23 to 26)."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from head_by_hand import (
    LABELS,
    QUERIES,
    SIZE,
    SUPPORT,
    WAYS,
    by_the_paper,
    every_form,
    probabilities,
    stored,
)

from tfmeta.errors import DataError
from tfmeta.models.matching_head import MatchingHead, check_support, others

# --- numerical safety -------------------------------------------------------------------------------------------


def loss_and_gradients(head, alpha, beta, queries, support, labels, allowed=None):
    """Return log-probabilities, and the gradients of the loss on label 0 with respect to all inputs."""
    tensors = [tf.constant(part, tf.float32) for part in (alpha, beta, queries, support)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        logs = head.log_probabilities(*tensors, tf.constant(labels), allowed)
        loss = -tf.reduce_mean(logs[:, 0])
    gradients = tape.gradient(loss, tensors, unconnected_gradients="zero")
    return logs.numpy(), [tf.convert_to_tensor(part).numpy() for part in gradients]


def hostile():
    """Return queries and support by name: feature vectors that are 0, nearly 0, huge, or the query itself."""
    zero_query, zero_support, tiny, huge = QUERIES.copy(), SUPPORT.copy(), QUERIES.copy(), SUPPORT.copy()
    zero_query[1] = zero_support[0] = zero_support[2] = 0
    tiny[0], huge[3] = 1e-20, 1e15
    return {
        "zero query": (zero_query, SUPPORT), "zero support": (QUERIES, zero_support),
        "all zero": (zero_query * 0, zero_support * 0), "tiny": (tiny, SUPPORT * np.float32(1e-20)),
        "huge": (QUERIES, huge), "itself": (SUPPORT.copy(), SUPPORT), "opposite": (-SUPPORT, SUPPORT),
    }  # fmt: skip


@pytest.mark.parametrize("what", hostile())
@every_form
def test_losses_and_gradients_are_finite_for_extreme_features(gates, score, what):
    queries, support = hostile()[what]
    leave = others(LABELS) if what == "itself" else None
    for beta, alpha in itertools.product((0.0, 1.0, 1000.0, -1000.0), (0.0, 0.5, 1.0)):
        head = MatchingHead(WAYS, SIZE, gates, score)
        values = [np.full((WAYS, SIZE), alpha), np.full(WAYS, beta), queries, support, LABELS]
        logs, gradients = loss_and_gradients(head, *values, leave)
        assert np.isfinite(logs).all() and (np.abs(logs) < 1e4).all(), (beta, alpha)
        assert all(np.isfinite(part).all() for part in gradients), (beta, alpha)
        np.testing.assert_allclose(np.exp(logs).sum(1), 1, rtol=1e-4)


SHARES = np.bincount(LABELS) / len(LABELS)


@pytest.mark.parametrize("gates", ["projected", "sigmoid"])
@pytest.mark.parametrize("what", ["zero query", "zero support", "scales 0", "gates closed"])
def test_without_information_all_examples_count_equally(gates, what):
    alpha, beta = stored(gates)
    queries, support = QUERIES.copy(), SUPPORT.copy()
    if what == "zero query":
        queries[:] = 0
    elif what == "zero support":
        support[:] = 0
    elif what == "scales 0":
        beta[:] = 0
    else:
        alpha[:] = -200 if gates == "sigmoid" else 0
    found = probabilities(MatchingHead(WAYS, SIZE, gates), alpha, beta, queries, support)
    np.testing.assert_allclose(found, np.tile(SHARES, (4, 1)), rtol=1e-5)
    found = probabilities(MatchingHead(WAYS, SIZE, gates, "class-mean"), alpha, beta, queries, support)
    np.testing.assert_allclose(found, 1 / WAYS, rtol=1e-5)


def test_closed_gates_have_gradients():
    alpha, beta = np.zeros((WAYS, SIZE), np.float32), np.full(WAYS, 10, np.float32)
    _, gradients = loss_and_gradients(MatchingHead(WAYS, SIZE), alpha, beta, QUERIES, SUPPORT, LABELS)
    assert (np.abs(gradients[0]) > 0).all()


def test_an_example_without_features_has_cosine_0():
    support = SUPPORT.copy()
    support[[0, 2]] = 0
    alpha, beta = stored("projected")
    expected = by_the_paper(alpha, beta, QUERIES, support, LABELS)
    np.testing.assert_allclose(probabilities(MatchingHead(WAYS, SIZE), alpha, beta, support=support), expected,
                               rtol=2e-5)  # fmt: skip


def test_log_probabilities_are_exact_where_float32_probabilities_are_0():
    """With scales of 1000 and two orthogonal examples, the other class's log-probability is -1000."""
    head, axes = MatchingHead(2, 2), np.eye(2, dtype=np.float32)
    logs, gradients = loss_and_gradients(head, np.ones((2, 2)), [1000, 1000], axes, axes, np.array([0, 1]))
    np.testing.assert_allclose(logs, [[0, -1000], [-1000, 0]], rtol=1e-5, atol=1e-5)
    # d(-log P(0 | second query)) / d beta = (-cosine to 0, cosine to 1) = (0, 1), halved by the mean over queries
    np.testing.assert_allclose(gradients[1], [0, 0.5], atol=1e-5)
    np.testing.assert_allclose(gradients[2][1], [-500, 0], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("score", ["examples", "class-mean"])
@pytest.mark.parametrize("beta", [0.0, 10.0, 1000.0])
@pytest.mark.parametrize("example", [1.0, 0.0])
def test_a_support_set_of_one_example_gives_its_class_probability_1(score, beta, example):
    head, ones = MatchingHead(1, SIZE, score=score), np.ones((1, SIZE))
    for allowed in (None, others(tf.constant([0]))):
        logs, gradients = loss_and_gradients(head, ones, [beta], QUERIES[:1], example * ones, [0], allowed)
        assert (logs == 0).all() and all((part == 0).all() for part in gradients)


@pytest.mark.parametrize("score", ["examples", "class-mean"])
def test_a_class_without_support_has_probability_0_and_no_nan(score):
    logs, gradients = loss_and_gradients(
        MatchingHead(WAYS, SIZE, score=score), np.ones((WAYS, SIZE)), np.full(WAYS, 10), QUERIES, SUPPORT[:3],
        np.array([0, 0, 2]),
    )  # fmt: skip
    assert np.isfinite(logs).all() and (logs[:, 1] < -1e6).all()
    np.testing.assert_allclose(np.exp(logs[:, [0, 2]]).sum(1), 1, rtol=1e-5)
    assert all(np.isfinite(part).all() for part in gradients)


# --- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ([0, 1, 2, 3], r"support set: labels \[3\], .*0 to 2"),
        ([0, -1, 1, 2, -1], r"support set: labels \[-1\]"),
        ([0, 0, 2], r"support set: no support example of class \[1\]"),
        ([], r"support set: no support example of class \[0, 1, 2\]"),
        ([[0, 1, 2], [1, 1, 1]], r"support set, task 1: no support example of class \[0, 2\]"),
        ([[0, 1, 2], [2, 1, 0], [0, 1, 5]], r"support set, task 2: labels \[5\]"),
    ],
)
def test_a_wrong_support_set_is_refused_by_name(labels, named):
    with pytest.raises(DataError, match="^the " + named):
        check_support(np.array(labels, np.int32), 3)


def test_correct_support_sets_pass():
    check_support(LABELS, 3)
    check_support(np.stack([LABELS, LABELS[::-1]]), 3)
    with pytest.raises(DataError, match=r"^what was given: "):
        check_support(LABELS, 2, "what was given")
