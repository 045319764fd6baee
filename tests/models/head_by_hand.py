"""The paper's formula for the matching head in numpy, and small inputs for it (section 4)."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

WAYS, SIZE = 3, 6
LABELS = np.array([2, 0, 1, 2, 2, 1, 2], np.int32)  # any order, classes of 1, 2 and 4 examples
FORMS = list(itertools.product(("projected", "sigmoid", "fixed"), ("examples", "class-mean")))
every_form = pytest.mark.parametrize(("gates", "score"), FORMS)


def features(number, seed):
    """Return features of both signs and of various lengths: the head may not rely on the ReLU before it."""
    random = np.random.default_rng(seed)
    return (random.normal(size=(number, SIZE)) * random.uniform(0.1, 10, (number, 1))).astype(np.float32)


QUERIES, SUPPORT = features(4, 1), features(len(LABELS), 2)


def stored(gates, seed=3):
    """Return alpha as stored, and beta, away from their initial values and different for each class."""
    random = np.random.default_rng(seed)
    alpha = random.normal(0, 2, (WAYS, SIZE)) if gates == "sigmoid" else random.uniform(0, 1, (WAYS, SIZE))
    return alpha.astype(np.float32), np.array([7, 3, -2], np.float32)


def opened(gates, alpha):
    """Return the gates of a stored alpha."""
    return {"projected": alpha, "sigmoid": 1 / (1 + np.exp(-np.float64(alpha))), "fixed": np.ones_like(alpha)}[gates]


def cosine(one, other):
    lengths = math.sqrt(one @ one) * math.sqrt(other @ other)
    return one @ other / lengths if lengths else 0.0


def by_the_paper(gates, beta, queries, support, labels, score="examples", allowed=None):
    """Return P(l | q), float64 [q, N], computed one query and one example at a time."""
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
