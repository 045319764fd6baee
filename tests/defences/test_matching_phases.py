"""The matching defence: its two phases, where it starts, and what its answers depend on (ledger 23 to 28)."""

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import adapt, mixed
from matching_task import (
    ALL,
    ALONE,
    LABELS,
    MODEL,
    POINTS,
    QUERIES,
    SEED,
    SUPPORT,
    config,
    predicted,
    run,
    weights,
)

from tfmeta.errors import ConfigError
from tfmeta.models.matching_head import MatchingHead

# --- phases and points ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_more_points_do_not_change_the_training():
    many = predicted(tuple(range(10)))
    assert (many[list(POINTS)] == predicted()).all()
    for points in ((0,), (9,), (0, 9), (2, 4), (5,), (4,)):  # with and without points in either phase
        assert (predicted(points) == many[list(points)]).all(), points


def test_phase_1_does_not_train_the_embedding():
    still = dict(alpha_learning_rate=0.0, beta_learning_rate=0.0)
    answers = predicted(tuple(range(10)), **still)
    assert (answers[: ALONE + 1] == answers[0]).all()
    assert (answers[ALONE + 1] != answers[0]).any()  # the first step of phase 2
    assert (predicted(**still, attention_steps=9) == answers[0]).all()


@pytest.mark.parametrize("steps", [9, 10, 100])
def test_phase_1_may_last_until_the_end(steps):
    alone = predicted(attention_steps=steps)
    assert (alone[:3] == predicted()[:3]).all() and (alone[3:] != predicted()[3:]).any(1).all()
    assert (alone == predicted(attention_steps=steps, inner_learning_rate=1.0)).all()


def test_without_phase_1_everything_is_trained_from_the_first_step():
    joint = predicted(attention_steps=0)
    assert (joint[0] == predicted()[0]).all() and (joint[1:] != predicted()[1:]).any(1).all()
    assert (predicted((1,), attention_steps=0) != predicted((1,), attention_steps=0, inner_learning_rate=1e-6)).any()


@pytest.mark.slow
def test_fixed_gates_are_not_trained():
    fixed = predicted(gates="fixed")
    assert (predicted(gates="fixed", alpha_learning_rate=0.9) == fixed).all()
    assert (predicted(alpha_learning_rate=0.0) == fixed).all()


@pytest.mark.slow
def test_answers_are_the_same_in_a_graph():
    arguments = ["matching", config(), MODEL, [tf.constant(part) for part in weights()]]
    in_graph = tf.function(lambda *task: adapt(*arguments, *task, (0, 2, 9)), autograph=False)
    queries = [tf.constant(group) for group in QUERIES]
    found = in_graph(tf.constant(SUPPORT), tf.constant(LABELS), queries, tf.constant(SEED))
    assert found.shape == (3, 320, 3) and found.dtype == tf.float32
    assert (found.numpy().argmax(2) == predicted()[[0, 1, 4]]).mean() > 0.995


@pytest.mark.slow
def test_the_seed_determines_the_answers():
    assert (run(config()) == predicted()).all()
    other = predicted(seed=(4, -8))
    assert (other[0] != predicted()[0]).any()  # another theta_g
    unmixed, others = (predicted(seed=seed, delta=1.0) for seed in (SEED, (4, -8)))
    assert (unmixed == others).all()  # leave-one-out draws nothing
    unmixed, others = (predicted(seed=seed, delta=1.0, defence_queries="split") for seed in (SEED, (4, -8)))
    assert (unmixed[0] == others[0]).all() and (unmixed[1] != others[1]).any()


# --- what is fine-tuned -----------------------------------------------------------------------------------------


def embedded(theta, statistics=None):
    features, seen = MODEL.features(theta, SUPPORT / np.float32(255))
    return features, MODEL.features(theta, ALL / np.float32(255), seen)[0]


def test_fine_tuning_starts_from_the_mixed_weights_with_open_gates():
    for overrides in (dict(), dict(delta=0.1), dict(delta=1.0), dict(mixed_layers="norm*")):
        theta = mixed(MODEL, config(**overrides), weights(), tf.constant(SEED))
        features, queries = embedded(theta)
        head = MatchingHead(3, 8)
        logs = head.log_probabilities(*head.initial(), queries, features, LABELS).numpy()
        assert (predicted((0,), **overrides)[0] == logs.argmax(1)).mean() > 0.99


def test_with_delta_1_the_embedding_is_the_trained_one():
    features, queries = embedded(weights())
    head = MatchingHead(3, 8)
    logs = head.log_probabilities(*head.initial(), queries, features, LABELS).numpy()
    answers = predicted((0, 5), delta=1.0)
    assert (answers[0] == logs.argmax(1)).mean() > 0.99 and (answers[0] != answers[1]).any()


@pytest.mark.slow
def test_with_delta_0_the_received_weights_do_not_matter():
    assert (run(config(delta=0.0), given=weights(5)) == predicted(delta=0.0)).all()
    assert (run(config(), given=weights(5)) != predicted()).any()


@pytest.mark.slow
def test_the_last_layer_does_not_matter():
    """It holds the attacker's decision; it is neither mixed nor trained."""
    other = [*weights()[:-2], np.full((8, 3), np.nan, np.float32), np.full(3, 1e9, np.float32)]
    assert (run(config(), given=other) == predicted()).all()
    assert (predicted(mixed_layers="logits") == predicted(delta=1.0)).all()


@pytest.mark.parametrize("statistics", ["support", "moving", "queries"])
def test_an_answer_depends_on_other_queries_only_with_query_statistics(statistics):
    of, points = config(batch_norm_statistics=statistics, attention_steps=1), (0, 1, 3)
    queries = ALL[:40]
    together = run(of, points, groups=[queries])
    order = np.random.default_rng(0).permutation(40)
    found = run(of, points, groups=[queries[order][:9], queries[order][9:], np.full((30, 16, 16, 1), 255, np.uint8)])
    many = run(of, points, groups=[np.concatenate([queries[:1], np.full((30, 16, 16, 1), 255, np.uint8)])])
    if statistics == "queries":
        assert (found[:, :40] != together[:, order]).any()
    else:
        assert (found[:, :40] == together[:, order]).all() and (many[:, 0] == together[:, 0]).all()


def test_the_order_of_the_support_does_not_matter():
    order = np.random.default_rng(1).permutation(12)
    found = adapt(
        "matching", config(), MODEL, [tf.constant(part) for part in weights()], tf.constant(SUPPORT[order]),
        tf.constant(LABELS[order]), [tf.constant(ALL)], tf.constant(SEED), (0, 6),
    ).numpy()  # fmt: skip
    assert (found.argmax(2) == predicted((0, 6))).mean() > 0.99


def striped(of, random):
    """Return stripes of class `of` on blocks that hide them from an untrained embedding."""
    image = random.uniform(0, 180, (4, 4, 1)).repeat(4, axis=0).repeat(4, axis=1)
    image[:, :, 0] += 70 * (np.indices((16, 16))[of % 2] // (1 + of // 2) % 2)
    return image.astype(np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize("delta", [0.3, 1.0])
def test_fine_tuning_learns_classes_that_the_untrained_embedding_confuses(delta):
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3, dtype=np.int32), 8)
    support, queries = (np.stack([striped(of, random) for of in group]) for group in (labels, labels))
    answers = adapt(
        "matching", config(delta=delta), MODEL, [tf.constant(part) for part in weights()], tf.constant(support),
        tf.constant(labels), [tf.constant(queries)], tf.constant(SEED), (0, 40),
    )  # fmt: skip
    right = (answers.numpy().argmax(2) == labels).mean(1)
    assert right[0] < 0.85 and right[1] > 0.95


def test_an_unknown_form_of_gates_is_refused():
    with pytest.raises(ConfigError, match=r"^defence\.gates = 'open'"):
        config(gates="open")
