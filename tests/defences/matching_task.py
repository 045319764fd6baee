"""A small task for the tests of the matching defence, and the answers to it."""

import functools

import numpy as np
import tensorflow as tf
from core_fixtures import adapt, small_config

from tfmeta.models.conv4 import Conv4

MODEL = Conv4((16, 16, 1), 3, 8)
SEED = (4, -9)
ALONE = 4  # steps of phase 1
POINTS = (0, 2, 4, 5, 9)  # in phase 1, at its end, just after it, and in phase 2
LABELS = np.array([2, 0, 1, 1, 2, 0, 0, 1, 2, 2, 1, 0], np.int32)


@functools.cache
def config(**overrides):
    """Return a configuration whose rates make every step show, and push gates out of [0, 1]."""
    fast = dict(
        inner_learning_rate=0.01, alpha_learning_rate=0.1, beta_learning_rate=0.5, attention_steps=ALONE, delta=0.6
    )
    return small_config(ways=3, task_shots=4, **{**fast, **overrides})


def make_images(number, seed):
    """Return blocks of all shades, no two images alike."""
    random = np.random.default_rng(seed)
    blocks = random.uniform(0, 255, (number, 4, 4, 1)) * random.uniform(0.1, 1, (number, 1, 1, 1))
    return blocks.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)


SUPPORT, QUERIES = make_images(12, 1), (make_images(170, 2), make_images(150, 3) // 2)
ALL = np.concatenate(QUERIES)


@functools.cache
def weights(seed=2):
    """Return weights like trained ones."""
    random = np.random.default_rng(seed)
    return tuple(part + random.normal(0, 0.1, part.shape).astype(np.float32) for part in MODEL.initial_weights(seed))


def run(of, points=POINTS, given=None, seed=SEED, groups=QUERIES):
    """Return the labels [points, queries]; eagerly, because tracing takes longer than so few steps."""
    given = weights() if given is None else given
    found = adapt(
        "matching", of, MODEL, [tf.constant(part) for part in given], tf.constant(SUPPORT), tf.constant(LABELS),
        [tf.constant(group) for group in groups], tf.constant(seed), points,
    ).numpy()  # fmt: skip
    np.testing.assert_allclose(found.sum(2), 1, atol=1e-4)
    return found.argmax(2)


@functools.cache
def predicted(points=POINTS, seed=SEED, **overrides):
    return run(config(**overrides), points, seed=seed)
