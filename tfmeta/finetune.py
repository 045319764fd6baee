"""Supervised fine-tuning on a task, and what the fine-tuned model answers on the way (section 3, experiment 2).

Pure functions of (weights, task, seed). A fresh Adam for every task (ledger 5); mini-batches are
supervised-reptile's stream (ledger 4). At chosen iterations the model as it is then answers all queries.
"""

import tensorflow as tf

from tfmeta import episodes, mix
from tfmeta.config.layers import MODULES
from tfmeta.flat import layout_of
from tfmeta.reptile import AdamState, adam_step, fresh_adam

MOVING_MOMENTUM = 0.9  # ledger 7's alternative "moving": per step, since a task has some tens of them


def supervised(model, config, weights, support, labels, query_groups, seed, points):
    """Fine-tune by supervised learning; predict at the iterations ``points``.

    Args:
      model: ``Conv4``.
      config: ``Config``; reads eta, inner_batch, statistics.
      weights: list of tensors to begin with.
      support, labels: uint8 [n, H, W, C], int32 [n].
      query_groups: list of uint8 [q, H, W, C]; groups matter only where queries are normalised together.
      seed: int32 [2].
      points: ascending ints; 0 is the model before its first step.

    Returns:
      int32 [len(points), sum of q]: predicted labels, groups one behind the other.
    """
    layout = layout_of(model)
    pictures = episodes.to_float(support)
    queries = [episodes.to_float(group) for group in query_groups]
    batches = episodes.batch_stream(seed, support.shape[0], points[-1], config.inner_batch)

    def step(number, vector, moments, steps, *moving):
        batch = tf.gather(batches, number)
        images, wanted = tf.gather(pictures, batch), tf.gather(labels, batch)
        with tf.GradientTape() as tape:
            tape.watch(vector)
            logits, seen = model.logits(layout.unpack(vector), images)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=wanted, logits=logits))
        vector, adam = adam_step(vector, tape.gradient(loss, vector), AdamState(moments, steps), config.eta)
        return vector, *adam, *moved(moving, seen)

    def answer(vector, moments, steps, *moving):
        del moments, steps
        return predict(model, config, layout.unpack(vector), pictures, queries, paired(moving))

    moving = ()
    if config.statistics == "moving":  # they begin with the support's
        moving = flat(model.features(weights, pictures)[1])
    state = (layout.pack(weights), *fresh_adam(layout.size), *moving)
    return trajectory(step, answer, state, points)[0]


def supervised_from_mix(model, config, weights, support, labels, query_groups, seed, points):
    """Fine-tune by supervised learning from theta', all layers mixed, the last one too (appendix A.2, ledger 28).

    As ``supervised``; also reads delta and mixed_layers.
    """
    weights = mix.mixed(model, config, weights, seed)
    return supervised(model, config, weights, support, labels, query_groups, seed, points)


def trajectory(step, answer, state, points, start=0):
    """Take steps, and answer all queries at chosen iterations.

    Args:
      step: function of (int32 number of the step, *state) that returns the next state.
      answer: function of (*state) that returns int32 [queries].
      state: tuple of tensors, before step number ``start``.
      points: ascending ints from ``start`` on, at least one.
      start: int.

    Returns:
      int32 [len(points), queries], and the state at the last point.
    """

    def segment(index, number, answers, *state):
        # parallel_iterations=1: each step needs the last one's weights, and memory stays that of one step
        number, *state = tf.while_loop(
            lambda number, *_: number < tf.constant(points)[index],
            lambda number, *state: (number + 1, *step(number, *state)),
            (number, *state),
            parallel_iterations=1,
        )
        return index + 1, number, answers.write(index, answer(*state)), *state

    _, _, answers, *state = tf.while_loop(
        lambda index, *_: index < len(points),
        segment,
        (0, start, tf.TensorArray(tf.int32, len(points), infer_shape=True), *state),
        parallel_iterations=1,
    )
    return answers.stack(), tuple(state)


def predict(model, config, weights, support, queries, moving=None):
    """Return int32 [sum of q]: the label of each query.

    With statistics "support" (ledger 7) a query's answer does not depend on which other queries are asked.
    """
    if config.statistics == "queries":
        return tf.concat([_answer(model.logits(weights, group)[0]) for group in queries], 0)
    used = moving if config.statistics == "moving" else model.features(weights, support)[1]
    return _answer(model.logits(weights, tf.concat(queries, 0), used)[0])


def _answer(logits):
    return tf.argmax(logits, axis=1, output_type=tf.int32)


def moved(moving, seen):
    """Return moving statistics (as a flat list, empty where they are not wanted) after a batch's ``seen`` ones."""
    return [old + (1 - MOVING_MOMENTUM) * (new - old) for old, new in zip(moving, flat(seen), strict=False)]


def flat(statistics):
    """Return statistics [(mean, variance) of each module] as one list."""
    return [part for pair in statistics for part in pair]


def paired(parts):
    """Return the statistics that ``flat`` flattened, None for an empty list."""
    return [tuple(parts[2 * module : 2 * module + 2]) for module in range(MODULES)] if parts else None
