"""The matching defence on a task, compared with the whole matching network in Keras (ledger 23 to 28)."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import mixed
from matching_task import (
    ALL,
    LABELS,
    MODEL,
    POINTS,
    QUERIES,
    SEED,
    SUPPORT,
    config,
    predicted,
    weights,
)

from tfmeta.models.keras_layers import matching_model, weights_of
from tfmeta.models.matching_head import split
from tfmeta.utils import seeds


class KerasTask:
    """The same task in Keras: the matching network as a model, with Keras' Adam, loss, constraint and normalisation."""

    def __init__(self, of):
        self.of = of
        head = dict(gates=of.defence.gates, score=of.defence.score, beta_initial=of.defence.beta_initial)
        self.model = matching_model(MODEL, **head)
        self.embedding, self.attention = self.model.get_layer("embedding"), self.model.get_layer("attention")
        theta = mixed(MODEL, of, weights(), tf.constant(SEED))
        for variable, weight in zip(self.embedding.trainable_weights, theta[:-2], strict=True):
            variable.assign(weight)
        self.norms = [layer for layer in self.embedding.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]
        self.before = tf.keras.Model(self.embedding.inputs, [layer.input for layer in self.norms])
        rates = {
            "theta": of.meta_learning.inner_learning_rate, "alpha": of.defence.alpha_learning_rate,
            "beta": of.defence.beta_learning_rate,
        }  # fmt: skip
        self.adam = {name: tf.keras.optimizers.Adam(rate, beta_1=0.0) for name, rate in rates.items()}
        self.moving = self.statistics()

    def statistics(self):
        """Return the support's mean and variance at the input of each BatchNormalization."""
        values = [value.numpy() for value in self.before(SUPPORT / np.float32(255), training=True)]
        return [(value.mean((0, 1, 2)), value.var((0, 1, 2))) for value in values]

    def step(self, number):
        alone, seen = number < self.of.defence.attention_steps, self.statistics()
        variables = {
            "theta": [] if alone else self.embedding.trainable_weights,
            "alpha": [] if self.of.defence.gates == "fixed" else [self.attention.alpha],
            "beta": [self.attention.beta],
        }
        with tf.GradientTape() as tape:
            features = self.embedding(SUPPORT / np.float32(255), training=True)
            if self.of.defence.queries == "split":
                drawn = seeds.fold(seeds.fold(tf.constant(SEED), 8), number)  # stored results were drawn with 8
                chosen = split(LABELS, tf.random.stateless_uniform([12], drawn), self.of.defence.split_queries).numpy()
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
        """Return the model's log-probabilities [queries, ways]."""
        support = SUPPORT / np.float32(255)
        if self.of.evaluation.batch_norm_statistics == "queries":  # training=True: each group with its own
            groups = [group / np.float32(255) for group in QUERIES]
            return np.concatenate([self.model([group, support, LABELS], training=True) for group in groups])
        used = self.moving if self.of.evaluation.batch_norm_statistics == "moving" else self.statistics()
        for layer, (mean, variance) in zip(self.norms, used, strict=True):
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
        return self.model([ALL / np.float32(255), support, LABELS], training=False).numpy()


@functools.cache
def by_keras(**overrides):
    """Return log-probabilities float [points, queries, ways], and the trained task."""
    task, found = KerasTask(config(**overrides)), []
    for done in range(POINTS[-1] + 1):
        if done in POINTS:
            found.append(task.logs())
        if done < POINTS[-1]:
            task.step(done)
    return np.stack(found), task


@pytest.mark.slow
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
def test_fine_tuning_and_its_answers_agree_with_keras(overrides):
    logs, answers = by_keras(**overrides)[0], predicted(**overrides)
    assert answers.shape == (5, 320)
    *_, second, best = np.moveaxis(np.sort(logs, -1), -1, 0)
    sure = best - second > 5e-3
    assert sure.mean() > 0.97
    assert (answers == logs.argmax(-1))[sure].all()
    assert (answers == logs.argmax(-1)).mean() > 0.995
    for before, after in itertools.pairwise(answers):
        assert (before != after).any()  # every step changes answers
    assert np.mean([len(set(row)) for row in answers]) > 2


def test_training_moves_gates_and_scales():
    """Otherwise the test above could not see the projection."""
    _, alpha, beta = weights_of(by_keras()[1].model, "matching")
    assert (alpha == 1).any() and (alpha < 0.7).any() and alpha.max() == 1  # some are held at 1, others moved
    assert np.abs(beta - 10).min() > 0.1


@pytest.mark.slow
def test_every_field_changes_answers():
    plain = predicted((5,))
    for other in (
        dict(batch_norm_statistics="queries"), dict(batch_norm_statistics="moving"), dict(gates="sigmoid"),
        dict(gates="fixed"), dict(score="class-mean"), dict(beta_initial=1.0), dict(alpha_learning_rate=0.0),
        dict(beta_learning_rate=0.0), dict(inner_learning_rate=0.002), dict(defence_queries="split"),
        dict(attention_steps=3), dict(delta=0.5), dict(mixed_layers="conv*"),
    ):  # fmt: skip
        assert (predicted((5,), **other) != plain).any(), other
