"""The defence on a task, against the whole matching network in Keras; what it may depend on (ledger 23 to 28)."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import small_config

from tfmeta.defences import matching, noise_mix
from tfmeta.errors import ConfigError
from tfmeta.models.conv4 import Conv4
from tfmeta.models.keras_layers import matching_model, weights_of
from tfmeta.models.matching_head import MatchingHead, split
from tfmeta.utils import seeds

MODEL = Conv4((16, 16, 1), 3, 8)
SEED = (4, -9)
ALONE = 4  # steps of phase 1
POINTS = (0, 2, 4, 5, 9)  # in phase 1, at the seam, behind it, in phase 2
LABELS = np.array([2, 0, 1, 1, 2, 0, 0, 1, 2, 2, 1, 0], np.int32)


@functools.cache
def config(**overrides):
    """Rates at which ten steps show, each another, and gates that are pushed out of [0, 1]."""
    fast = dict(inner_learning_rate=0.01, alpha_learning_rate=0.1, beta_learning_rate=0.5, attention_steps=ALONE, delta=0.6)
    return small_config(ways=3, task_shots=4, **{**fast, **overrides})


def make_images(number, seed):
    """Blots of all shades, no two of one kind."""
    random = np.random.default_rng(seed)
    blots = random.uniform(0, 255, (number, 4, 4, 1)) * random.uniform(0.1, 1, (number, 1, 1, 1))
    return blots.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)


SUPPORT, QUERIES = make_images(12, 1), (make_images(170, 2), make_images(150, 3) // 2)
ALL = np.concatenate(QUERIES)


@functools.cache
def weights(seed=2):
    """Weights as training leaves them."""
    random = np.random.default_rng(seed)
    return tuple(part + random.normal(0, 0.1, part.shape).astype(np.float32) for part in MODEL.initial_weights(seed))


def run(of, points=POINTS, given=None, seed=SEED, groups=QUERIES):
    """Return the answers int32 [points, queries]; eagerly, since tracing takes longer than so few steps."""
    given = weights() if given is None else given
    return matching.matching(
        MODEL, of, [tf.constant(part) for part in given], tf.constant(SUPPORT), tf.constant(LABELS),
        [tf.constant(group) for group in groups], tf.constant(seed), points,
    ).numpy()  # fmt: skip


@functools.cache
def matching(points=POINTS, seed=SEED, **overrides):
    return run(config(**overrides), points, seed=seed)


class KerasTask:
    """The same task by Keras: the matching network as a model, its own Adam, losses, constraint and normalisation."""

    def __init__(self, of):
        self.of = of
        self.model = matching_model(MODEL, gates=of.gates, score=of.score, beta_initial=of.beta_initial)
        self.embedding, self.attention = self.model.get_layer("embedding"), self.model.get_layer("attention")
        theta = noise_mix.mixed(MODEL, of, weights(), tf.constant(SEED))
        for variable, weight in zip(self.embedding.trainable_weights, theta[:-2], strict=True):
            variable.assign(weight)
        self.norms = [layer for layer in self.embedding.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]
        self.before = tf.keras.Model(self.embedding.inputs, [layer.input for layer in self.norms])
        rates = {"theta": of.eta, "alpha": of.eta_alpha, "beta": of.eta_beta}
        self.adam = {name: tf.keras.optimizers.Adam(rate, beta_1=0.0) for name, rate in rates.items()}
        self.moving = self.statistics()

    def statistics(self):
        """The support's mean and variance in front of each BatchNormalization."""
        values = [value.numpy() for value in self.before(SUPPORT / np.float32(255), training=True)]
        return [(value.mean((0, 1, 2)), value.var((0, 1, 2))) for value in values]

    def step(self, number):
        alone, seen = number < self.of.attention_steps, self.statistics()
        variables = {
            "theta": [] if alone else self.embedding.trainable_weights,
            "alpha": [] if self.of.gates == "fixed" else [self.attention.alpha],
            "beta": [self.attention.beta],
        }
        with tf.GradientTape() as tape:
            features = self.embedding(SUPPORT / np.float32(255), training=True)
            if self.of.matching_queries == "split":
                drawn = seeds.fold(seeds.fold(tf.constant(SEED), 8), number)  # stored results were drawn with 8
                chosen = split(LABELS, tf.random.stateless_uniform([12], drawn), self.of.split_queries).numpy()
                wanted, rest = LABELS[chosen], LABELS[~chosen]
                logs = self.attention([features[chosen], features[~chosen], rest])
            else:
                wanted, logs = LABELS, self.attention([features, features, LABELS], leave_one_out=True)
            loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)(wanted, logs)
        gradients = tape.gradient(loss, variables)
        for name, own in variables.items():
            if own:
                self.adam[name].apply_gradients(zip(gradients[name], own, strict=True))
        if not alone:
            pairs = zip(self.moving, seen, strict=True)
            self.moving = [(0.9 * m + 0.1 * n, 0.9 * v + 0.1 * w) for (m, v), (n, w) in pairs]

    def logs(self):
        """Log-probabilities [queries, ways] of the model as it is."""
        support = SUPPORT / np.float32(255)
        if self.of.statistics == "queries":  # training: each with its own
            groups = [group / np.float32(255) for group in QUERIES]
            return np.concatenate([self.model([group, support, LABELS], training=True) for group in groups])
        used = self.moving if self.of.statistics == "moving" else self.statistics()
        for layer, (mean, variance) in zip(self.norms, used, strict=True):
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
        return self.model([ALL / np.float32(255), support, LABELS], training=False).numpy()


@functools.cache
def by_keras(**overrides):
    """Float [points, queries, ways], and the trained task."""
    task, found = KerasTask(config(**overrides)), []
    for done in range(POINTS[-1] + 1):
        if done in POINTS:
            found.append(task.logs())
        if done < POINTS[-1]:
            task.step(done)
    return np.stack(found), task


@pytest.mark.parametrize(
    "overrides",
    [
        dict(),
        dict(batch_norm_statistics="queries"),
        dict(batch_norm_statistics="moving", defence_queries="split"),
        dict(gates="sigmoid", score="class-mean"),
        dict(gates="fixed", beta_initial=3.0, attention_steps=0),
        dict(defence_queries="split", split_queries=2),
    ],
    ids=lambda given: "-".join(map(str, given.values())) or "plain",
)
def test_fine_tuning_and_its_answers_are_keras(overrides):
    logs, answers = by_keras(**overrides)[0], matching(**overrides)
    assert answers.shape == (5, 320) and answers.dtype == np.int32
    *_, second, best = np.moveaxis(np.sort(logs, -1), -1, 0)
    sure = best - second > 5e-3
    assert sure.mean() > 0.97
    assert (answers == logs.argmax(-1))[sure].all()
    assert (answers == logs.argmax(-1)).mean() > 0.995
    for before, after in itertools.pairwise(answers):
        assert (before != after).any()  # each step shows
    assert np.mean([len(set(row)) for row in answers]) > 2


def test_gates_and_scales_moved():
    """Or the test above would not see what holds them."""
    _, alpha, beta = weights_of(by_keras()[1].model, "matching")
    assert (alpha == 1).any() and (alpha < 0.7).any() and alpha.max() == 1  # held at the top, moved elsewhere
    assert np.abs(beta - 10).min() > 0.1


def test_it_makes_a_difference_what_is_configured():
    plain = matching((5,))
    for other in (
        dict(batch_norm_statistics="queries"), dict(batch_norm_statistics="moving"), dict(gates="sigmoid"), dict(gates="fixed"),
        dict(score="class-mean"), dict(beta_initial=1.0), dict(alpha_learning_rate=0.0), dict(beta_learning_rate=0.0), dict(inner_learning_rate=0.002),
        dict(defence_queries="split"), dict(attention_steps=3), dict(delta=0.5), dict(mixed_layers="conv*"),
    ):  # fmt: skip
        assert (matching((5,), **other) != plain).any(), other


# --- phases and points ------------------------------------------------------------------------------------------


def test_measuring_does_not_disturb_training():
    many = matching(tuple(range(10)))
    assert (many[list(POINTS)] == matching()).all()
    for points in ((0,), (9,), (0, 9), (2, 4), (5,), (4,)):  # with and without points in either phase
        assert (matching(points) == many[list(points)]).all(), points


def test_phase_1_leaves_the_embedding_alone():
    still = dict(alpha_learning_rate=0.0, beta_learning_rate=0.0)
    answers = matching(tuple(range(10)), **still)
    assert (answers[: ALONE + 1] == answers[0]).all()
    assert (answers[ALONE + 1] != answers[0]).any()  # the first step of phase 2
    assert (matching(**still, attention_steps=9) == answers[0]).all()


@pytest.mark.parametrize("steps", [9, 10, 100])
def test_phase_1_may_be_all_there_is(steps):
    alone = matching(attention_steps=steps)
    assert (alone[:3] == matching()[:3]).all() and (alone[3:] != matching()[3:]).any(1).all()
    assert (alone == matching(attention_steps=steps, inner_learning_rate=1.0)).all()


def test_without_phase_1_all_is_trained_from_the_first_step():
    joint = matching(attention_steps=0)
    assert (joint[0] == matching()[0]).all() and (joint[1:] != matching()[1:]).any(1).all()
    assert (matching((1,), attention_steps=0) != matching((1,), attention_steps=0, inner_learning_rate=1e-6)).any()


def test_fixed_gates_are_fixed():
    fixed = matching(gates="fixed")
    assert (matching(gates="fixed", alpha_learning_rate=0.9) == fixed).all()
    assert (matching(alpha_learning_rate=0.0) == fixed).all()


def test_in_a_graph_it_is_the_same():
    arguments = [MODEL, config(), [tf.constant(part) for part in weights()]]
    in_graph = tf.function(lambda *task: matching.matching(*arguments, *task, (0, 2, 9)), autograph=False)
    queries = [tf.constant(group) for group in QUERIES]
    found = in_graph(tf.constant(SUPPORT), tf.constant(LABELS), queries, tf.constant(SEED))
    assert found.shape == (3, 320) and found.dtype == tf.int32
    assert (found == matching()[[0, 1, 4]]).numpy().mean() > 0.995


def test_a_seed_has_one_answer():
    assert (run(config()) == matching()).all()
    other = matching(seed=(4, -8))
    assert (other[0] != matching()[0]).any()  # another theta_g
    unmixed, others = (matching(seed=seed, delta=1.0) for seed in (SEED, (4, -8)))
    assert (unmixed == others).all()  # leave-one-out draws nothing
    unmixed, others = (matching(seed=seed, delta=1.0, defence_queries="split") for seed in (SEED, (4, -8)))
    assert (unmixed[0] == others[0]).all() and (unmixed[1] != others[1]).any()


# --- what is fine-tuned -----------------------------------------------------------------------------------------


def embedded(theta, statistics=None):
    features, seen = MODEL.features(theta, SUPPORT / np.float32(255))
    return features, MODEL.features(theta, ALL / np.float32(255), seen)[0]


def test_it_starts_from_the_mixed_weights_with_open_gates():
    for overrides in (dict(), dict(delta=0.1), dict(delta=1.0), dict(mixed_layers="norm*")):
        theta = noise_mix.mixed(MODEL, config(**overrides), weights(), tf.constant(SEED))
        features, asked = embedded(theta)
        head = MatchingHead(3, 8)
        logs = head.log_probabilities(*head.initial(), asked, features, LABELS).numpy()
        assert (matching((0,), **overrides)[0] == logs.argmax(1)).mean() > 0.99


def test_without_a_mix_the_embedding_is_the_trained_one():
    features, asked = embedded(weights())
    head = MatchingHead(3, 8)
    logs = head.log_probabilities(*head.initial(), asked, features, LABELS).numpy()
    answers = matching((0, 5), delta=1.0)
    assert (answers[0] == logs.argmax(1)).mean() > 0.99 and (answers[0] != answers[1]).any()


def test_with_delta_0_nothing_of_the_model_is_left():
    assert (run(config(delta=0.0), given=weights(5)) == matching(delta=0.0)).all()
    assert (run(config(), given=weights(5)) != matching()).any()


def test_the_dense_layer_does_not_count():
    """It holds the attacker's decision; and nothing of it is mixed or trained."""
    other = [*weights()[:-2], np.full((8, 3), np.nan, np.float32), np.full(3, 1e9, np.float32)]
    assert (run(config(), given=other) == matching()).all()
    assert (matching(mixed_layers="logits") == matching(delta=1.0)).all()


@pytest.mark.parametrize("statistics", ["support", "moving", "queries"])
def test_what_a_querys_answer_depends_on(statistics):
    of, points = config(batch_norm_statistics=statistics, attention_steps=1), (0, 1, 3)
    asked = ALL[:40]
    together = run(of, points, groups=[asked])
    order = np.random.default_rng(0).permutation(40)
    found = run(of, points, groups=[asked[order][:9], asked[order][9:], np.full((30, 16, 16, 1), 255, np.uint8)])
    many = run(of, points, groups=[np.concatenate([asked[:1], np.full((30, 16, 16, 1), 255, np.uint8)])])
    if statistics == "queries":
        assert (found[:, :40] != together[:, order]).any()
    else:
        assert (found[:, :40] == together[:, order]).all() and (many[:, 0] == together[:, 0]).all()


def test_another_order_of_the_support_is_the_same_task():
    order = np.random.default_rng(1).permutation(12)
    found = matching.matching(
        MODEL, config(), [tf.constant(part) for part in weights()], tf.constant(SUPPORT[order]),
        tf.constant(LABELS[order]), [tf.constant(ALL)], tf.constant(SEED), (0, 6),
    ).numpy()  # fmt: skip
    assert (found == matching((0, 6))).mean() > 0.99


def striped(of, random):
    """Stripes of class `of` on blots that hide them from an untrained embedding."""
    image = random.uniform(0, 180, (4, 4, 1)).repeat(4, axis=0).repeat(4, axis=1)
    image[:, :, 0] += 70 * (np.indices((16, 16))[of % 2] // (1 + of // 2) % 2)
    return image.astype(np.uint8)


@pytest.mark.parametrize("delta", [0.3, 1.0])
def test_it_learns_what_its_embedding_did_not_see(delta):
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(3, dtype=np.int32), 8)
    support, asked = (np.stack([striped(of, random) for of in group]) for group in (labels, labels))
    answers = matching.matching(
        MODEL, config(delta=delta), [tf.constant(part) for part in weights()], tf.constant(support),
        tf.constant(labels), [tf.constant(asked)], tf.constant(SEED), (0, 40),
    ).numpy()  # fmt: skip
    right = (answers == labels).mean(1)
    assert right[0] < 0.85 and right[1] > 0.95


def test_a_head_of_another_form_is_refused():
    with pytest.raises(ConfigError, match=r"^gates = 'open'"):
        config(gates="open")
