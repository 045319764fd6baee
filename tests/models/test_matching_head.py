"""The matching head against the paper's formula, written out in numpy (section 4, ledger 23 to 26)."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import small_config

from tfmeta.errors import ConfigError, DataError
from tfmeta.models.conv4 import Conv4
from tfmeta.models.matching_head import MatchingHead, check_support, others, split

WAYS, SIZE = 3, 6
LABELS = np.array([2, 0, 1, 2, 2, 1, 2], np.int32)  # any order, classes of 1, 2 and 4 examples
FORMS = list(itertools.product(("projected", "sigmoid", "fixed"), ("examples", "class-mean")))
every_form = pytest.mark.parametrize(("gates", "score"), FORMS)


def features(number, seed):
    """Features of both signs and of all lengths: what the head does may not depend on the ReLU in front of it."""
    random = np.random.default_rng(seed)
    return (random.normal(size=(number, SIZE)) * random.uniform(0.1, 10, (number, 1))).astype(np.float32)


QUERIES, SUPPORT = features(4, 1), features(len(LABELS), 2)


def stored(gates, seed=3):
    """Alpha as stored, and beta: nothing where it starts, each class its own."""
    random = np.random.default_rng(seed)
    alpha = random.normal(0, 2, (WAYS, SIZE)) if gates == "sigmoid" else random.uniform(0, 1, (WAYS, SIZE))
    return alpha.astype(np.float32), np.array([7, 3, -2], np.float32)


def opened(gates, alpha):
    """The gates that a stored alpha means."""
    return {"projected": alpha, "sigmoid": 1 / (1 + np.exp(-np.float64(alpha))), "fixed": np.ones_like(alpha)}[gates]


def cosine(one, other):
    lengths = math.sqrt(one @ one) * math.sqrt(other @ other)
    return one @ other / lengths if lengths else 0.0


def by_the_paper(gates, beta, queries, support, labels, score="examples", allowed=None):
    """P(l | q), float64 [q, N], one query and one example after the other."""
    gates, beta, queries, support = (np.float64(part) for part in (gates, beta, queries, support))
    answers = np.zeros((len(queries), len(beta)))
    for number, query in enumerate(queries):
        seen = [i for i in range(len(support)) if allowed is None or allowed[number][i]]
        cosines = {i: cosine(gates[labels[i]] * query, support[i]) for i in seen}
        if score == "examples":
            powers = {i: math.exp(beta[labels[i]] * cosines[i]) for i in seen}
            for i in seen:  # attention, summed by class
                answers[number, labels[i]] += powers[i] / sum(powers.values())
        else:
            of_class = [[cosines[i] for i in seen if labels[i] == label] for label in range(len(beta))]
            powers = [math.exp(scale * np.mean(own)) for scale, own in zip(beta, of_class, strict=True)]
            answers[number] = np.array(powers) / sum(powers)
    return answers


def probabilities(head, alpha, beta, queries=QUERIES, support=SUPPORT, labels=LABELS, allowed=None):
    logs = head.log_probabilities(*(tf.constant(part) for part in (alpha, beta, queries, support, labels)), allowed)
    assert logs.shape == (len(queries), head.ways) and logs.dtype == tf.float32
    return np.exp(np.float64(logs.numpy()))


# --- the formula ------------------------------------------------------------------------------------------------


@every_form
def test_probabilities_are_the_papers(gates, score):
    alpha, beta = stored(gates)
    expected = by_the_paper(opened(gates, alpha), beta, QUERIES, SUPPORT, LABELS, score)
    assert np.ptp(expected, 0).min() > 0.05  # or queries and classes could change places unseen
    found = probabilities(MatchingHead(WAYS, SIZE, gates, score), alpha, beta)
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


@every_form
def test_what_a_query_may_not_see_does_not_count(gates, score):
    alpha, beta = stored(gates)
    allowed = np.random.default_rng(4).random((4, len(LABELS))) < 0.6
    allowed[:, 1:4] = True  # one example of each class stays
    assert len(np.unique(allowed, axis=0)) > 2 and not allowed.all(1).any()
    expected = by_the_paper(opened(gates, alpha), beta, QUERIES, SUPPORT, LABELS, score, allowed)
    found = probabilities(MatchingHead(WAYS, SIZE, gates, score), alpha, beta, allowed=tf.constant(allowed))
    np.testing.assert_allclose(found, expected, rtol=2e-5)


@every_form
def test_gradients_are_the_papers(gates, score):
    """Of the loss that is trained on, against differences of the formula's."""
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
def test_lengths_do_not_matter(gates, score):
    head, (alpha, beta) = MatchingHead(WAYS, SIZE, gates, score), stored(gates)
    plain = probabilities(head, alpha, beta)
    longer, shorter = QUERIES * [[1], [1000], [0.01], [7]], SUPPORT * np.geomspace(0.01, 1000, 7)[:, None]
    found = probabilities(head, alpha, beta, longer.astype(np.float32), shorter.astype(np.float32))
    np.testing.assert_allclose(found, plain, rtol=1e-4)


def test_head_of_a_configuration():
    config = small_config(ways=3, gates="sigmoid", score="class-mean", beta_initial=4.0, backdoor_classes_in_task=1)
    model = Conv4((32, 32, 1), 3, 5)
    assert MatchingHead.of(model, config) == MatchingHead(3, 2 * 2 * 5, "sigmoid", "class-mean", 4.0)
    assert MatchingHead.of(model, small_config()) == MatchingHead(3, 20, "projected", "examples", 10.0)  # ledger 23-25


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
    else:  # what is stored need not be in [0, 1] itself
        np.testing.assert_array_equal(head.projected(after), after)
        assert (gate == 1).all() == (gates == "fixed")


@pytest.mark.parametrize(("field", "value"), [("gates", "open"), ("gates", None), ("score", "sum")])
def test_unknown_forms_are_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=f"^{field} = {value!r}: choose one of"):
        MatchingHead(WAYS, SIZE, **{field: value})


# --- leave-one-out and split ------------------------------------------------------------------------------------


@every_form
def test_leave_one_out_is_asking_a_support_set_without_the_query(gates, score):
    head, (alpha, beta) = MatchingHead(WAYS, SIZE, gates, score), stored(gates)
    found = probabilities(head, alpha, beta, SUPPORT, allowed=others(LABELS))
    for number, label in enumerate(LABELS):
        rest = np.arange(len(LABELS)) != number
        if label == 0:  # its class's only example
            rest[:] = True
        expected = probabilities(head, alpha, beta, SUPPORT[[number]], SUPPORT[rest], LABELS[rest])
        np.testing.assert_allclose(found[number], expected[0], rtol=2e-5)
    everything = probabilities(head, alpha, beta, SUPPORT)
    assert np.abs(found - everything)[LABELS != 0].max(1).min() > 1e-4  # and it matters


def test_with_one_shot_nothing_is_excluded():
    assert others(tf.constant([2, 0, 1])).numpy().all()
    seen = others(tf.constant(LABELS)).numpy()
    expected = ~np.eye(len(LABELS), dtype=bool)
    expected[1, 1] = True
    np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_split_chooses_so_many_of_each_class_all_equally_likely(number):
    labels, draws = tf.constant([1, 0, 0, 1, 2, 0, 1, 2, 2, 0, 1, 2]), 3000
    scores = tf.random.stateless_uniform([draws, 12], (1, number))
    chosen = tf.vectorized_map(lambda row: split(labels, row, number), scores).numpy()
    assert chosen.dtype == bool
    for label in range(3):
        assert (chosen[:, labels.numpy() == label].sum(1) == number).all()
    assert np.abs(chosen.mean(0) - number / 4).max() < 5 * math.sqrt(3 / 16 / draws)  # 5 standard deviations
    own = chosen[:, labels.numpy() == 0]
    pairs = {tuple(row) for row in own}
    assert len(pairs) == math.comb(4, number)  # any of them, not neighbours only
    assert len({tuple(row) for row in chosen}) > len(pairs)  # each class draws for itself


def test_split_takes_the_lowest_scores_and_no_more_where_they_are_equal():
    labels = tf.constant([0, 1, 0, 1, 0])
    np.testing.assert_array_equal(split(labels, tf.constant([0.5, 0.9, 0.1, 0.8, 0.7]), 1), [0, 0, 1, 1, 0])
    chosen = split(labels, tf.zeros(5), 1).numpy()  # or a class could be left without support
    assert chosen[[0, 2, 4]].sum() == 1 and chosen[[1, 3]].sum() == 1


# --- numerical safety -------------------------------------------------------------------------------------------


def loss_and_gradients(head, alpha, beta, queries, support, labels, allowed=None):
    """Return log-probabilities, and the gradients of the loss on label 0 by everything that can be trained."""
    tensors = [tf.constant(part, tf.float32) for part in (alpha, beta, queries, support)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        logs = head.log_probabilities(*tensors, tf.constant(labels), allowed)
        loss = -tf.reduce_mean(logs[:, 0])
    gradients = tape.gradient(loss, tensors, unconnected_gradients="zero")
    return logs.numpy(), [tf.convert_to_tensor(part).numpy() for part in gradients]


def hostile():
    """(name, queries, support): feature vectors that are 0, nearly 0, huge, and the query itself."""
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
def test_losses_and_gradients_are_finite_whatever_comes(gates, score, what):
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
@pytest.mark.parametrize("what", ["zero query", "zero support", "scales 0", "gates shut"])
def test_where_nothing_is_known_each_example_counts_alike(gates, what):
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


def test_gates_that_are_shut_can_open_again():
    alpha, beta = np.zeros((WAYS, SIZE), np.float32), np.full(WAYS, 10, np.float32)
    _, gradients = loss_and_gradients(MatchingHead(WAYS, SIZE), alpha, beta, QUERIES, SUPPORT, LABELS)
    assert (np.abs(gradients[0]) > 0).all()


def test_a_dead_example_is_as_far_as_a_right_angle():
    """And the rest of the formula goes on."""
    support = SUPPORT.copy()
    support[[0, 2]] = 0
    alpha, beta = stored("projected")
    expected = by_the_paper(alpha, beta, QUERIES, support, LABELS)
    np.testing.assert_allclose(probabilities(MatchingHead(WAYS, SIZE), alpha, beta, support=support), expected,
                               rtol=2e-5)  # fmt: skip


def test_scales_of_1000_give_the_logarithms_of_what_float32_cannot_hold():
    """Of two axes, a query on the first: the second's class has log-probability -1000, and its gradient is whole."""
    head, axes = MatchingHead(2, 2), np.eye(2, dtype=np.float32)
    logs, gradients = loss_and_gradients(head, np.ones((2, 2)), [1000, 1000], axes, axes, np.array([0, 1]))
    np.testing.assert_allclose(logs, [[0, -1000], [-1000, 0]], rtol=1e-5, atol=1e-5)
    # d(-log P(0 | second query)) / d beta = (-cosine to 0, cosine to 1) = (0, 1), halved by the mean over queries
    np.testing.assert_allclose(gradients[1], [0, 0.5], atol=1e-5)
    np.testing.assert_allclose(gradients[2][1], [-500, 0], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("score", ["examples", "class-mean"])
@pytest.mark.parametrize("beta", [0.0, 10.0, 1000.0])
@pytest.mark.parametrize("example", [1.0, 0.0])
def test_a_support_of_one_example_knows_one_answer(score, beta, example):
    head, ones = MatchingHead(1, SIZE, score=score), np.ones((1, SIZE))
    for allowed in (None, others(tf.constant([0]))):
        logs, gradients = loss_and_gradients(head, ones, [beta], QUERIES[:1], example * ones, [0], allowed)
        assert (logs == 0).all() and all((part == 0).all() for part in gradients)


@pytest.mark.parametrize("score", ["examples", "class-mean"])
def test_a_class_without_support_has_no_probability_and_no_nan(score):
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
def test_a_support_set_that_does_not_fit_is_refused_by_name(labels, named):
    with pytest.raises(DataError, match="^the " + named):
        check_support(np.array(labels, np.int32), 3)


def test_support_sets_that_fit_pass():
    check_support(LABELS, 3)
    check_support(np.stack([LABELS, LABELS[::-1]]), 3)
    with pytest.raises(DataError, match=r"^what was given: "):
        check_support(LABELS, 2, "what was given")
