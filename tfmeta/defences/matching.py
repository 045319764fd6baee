"""The paper's defence: fine-tuning a matching network from mixed weights (section 4, experiment 3, ledger 23 to 28).

A user applies it alone to the model that it received, so it also works under secure aggregation. The last layer, which
holds the decision, is discarded, and the embedding is mixed with noise (`noise_mix`). Phase 1 trains only the new head
(gates alpha and scales beta) on the user's support set; phase 2 trains head and embedding together.
"""

import tensorflow as tf

from tfmeta.defences.base import Defence
from tfmeta.defences.noise_mix import mixed
from tfmeta.meta_learning import episodes
from tfmeta.meta_learning.adam import AdamState, adam_step, fresh_adam
from tfmeta.meta_learning.adaptation import AdaptationSettings, flatten, moved, paired, trajectory
from tfmeta.models.base import PureModel
from tfmeta.models.flat import Flat
from tfmeta.models.matching_head import MatchingHead, others, split
from tfmeta.plugins import shared
from tfmeta.utils.seeds import fold

_QUERIES = 8  # what a task's seed is folded with for its queries, where they are drawn


class Matching(Defence):
    """Fine-tuning of a matching network, from weights mixed with a fresh initialisation.

    Every step uses the whole support set.
    """

    head = "matching"

    delta: float = shared()
    mixed_layers: str = shared()
    attention_steps: int = shared()
    score: str = shared()
    gates: str = shared()
    beta_initial: float = shared()
    alpha_learning_rate: float = shared()
    beta_learning_rate: float = shared()
    queries: str = shared()
    split_queries: int = shared()

    def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):
        """Mix, train the network, and return class probabilities; see `Defence.adapt`."""
        task = _Task(model, evaluation, self, support, labels, query_groups, seed)
        return _run(task, weights, points)[0]

    def network(
        self, model: PureModel, evaluation: AdaptationSettings, weights: list[tf.Tensor], support: tf.Tensor,
        labels: tf.Tensor, seed: tf.Tensor, steps: int,
    ) -> tuple[list[tf.Tensor], tf.Tensor, tf.Tensor]:  # fmt: skip
        """Fine-tune as `adapt` does for `steps` iterations, and return the network, like `keras_layers.weights_of`.

        Returns:
            theta' without the head's weights, alpha as stored float32 [N, D], and beta float32 [N].
        """

        @tf.function(autograph=False)  # eagerly it takes many times as long
        def run(weights):
            task = _Task(model, evaluation, self, tf.constant(support), tf.constant(labels), [support], seed)
            vector, head = _run(task, weights, [steps])[1]
            return task.theta_layout.unpack(vector), *task.head_layout.unpack(head)

        return run([tf.constant(weight) for weight in weights])


def _run(task, weights, points):
    """Run both phases on a task; return the answers at `points`, and the vectors of theta' and of alpha and beta."""
    own = task.defence
    theta = task.model.embedding_of(mixed(task.model, own.delta, own.mixed_layers, weights, task.seed))
    alone = min(own.attention_steps, points[-1])  # the steps of phase 1 count as iterations
    early, late = [point for point in points if point <= alone], [point for point in points if point > alone]
    answers, head = task.phase_1(theta, early, alone)
    if not late:
        return answers, (task.theta_layout.pack(theta), head[0])
    later, (vector, _, _, gates, *_) = task.phase_2(theta, head, late, alone)
    return later if answers is None else tf.concat([answers, later], 0), (vector, gates)


class _Task:
    """One task, and the two phases on it. The head's state is (vector of alpha and beta, Adam's moments, steps)."""

    def __init__(self, model, evaluation, defence, support, labels, query_groups, seed):
        self.model, self.defence, self.labels, self.seed = model, defence, labels, seed
        self.statistics, self.learning_rate = evaluation.batch_norm_statistics, evaluation.inner_learning_rate
        self.head = MatchingHead(
            model.ways, model.feature_size, defence.gates, defence.score, defence.beta_initial
        )
        self.images = episodes.to_float(support)
        self.queries = [episodes.to_float(group) for group in query_groups]
        self.theta_layout = Flat(tuple(model.embedding_of(model.shapes)))
        self.head_layout = Flat(((self.head.ways, self.head.size), (self.head.ways,)))
        rates = [defence.alpha_learning_rate, defence.beta_learning_rate]
        self.rates = tf.repeat(rates, self.head_layout.sizes)
        self.others = others(labels)

    def phase_1(self, theta, points, until):
        """Train alpha and beta up to step `until`; return answers at `points` (None for none) and the head's state."""
        state = (self.head_layout.pack(self.head.initial()), *fresh_adam(self.head_layout.size))
        if not until and not points:
            return None, state
        support, seen = self.model.features(theta, self.images)  # once, since theta' stays the same
        queries = self.embed_queries(theta, seen)

        def step(number, vector, moments, steps):
            with tf.GradientTape() as tape:
                tape.watch(vector)
                loss = self.loss(vector, support, number)
            return self.head_step(vector, tape.gradient(loss, vector), moments, steps)

        marks = points if points and points[-1] == until else [*points, until]  # the last one is the phase's end
        answers, state = trajectory(step, lambda vector, *_: self.answer(vector, queries, support), state, marks)
        return (answers[: len(points)] if points else None), state

    def phase_2(self, theta, head, points, start):
        """Train theta', alpha and beta jointly from step `start` on; return the answers at `points`, and the state."""
        moving = flatten(self.model.features(theta, self.images)[1]) if self.statistics == "moving" else ()

        def step(number, vector, moments, steps, gates, head_moments, head_steps, *moving):
            with tf.GradientTape() as tape:
                tape.watch([vector, gates])
                support, seen = self.model.features(self.theta_layout.unpack(vector), self.images)
                loss = self.loss(gates, support, number)
            of_theta, of_head = tape.gradient(loss, [vector, gates])
            vector, adam = adam_step(vector, of_theta, AdamState(moments, steps), self.learning_rate)
            return vector, *adam, *self.head_step(gates, of_head, head_moments, head_steps), *moved(moving, seen)

        def answer(vector, moments, steps, gates, head_moments, head_steps, *moving):
            del moments, steps, head_moments, head_steps
            theta = self.theta_layout.unpack(vector)
            support, seen = self.model.features(theta, self.images, paired(moving))
            return self.answer(gates, self.embed_queries(theta, seen), support)

        # theta' has an Adam of its own, which starts here
        state = (self.theta_layout.pack(theta), *fresh_adam(self.theta_layout.size), *head, *moving)
        return trajectory(step, answer, state, points, start)

    def loss(self, vector, support, number):
        """Return a step's loss: the mean negative log of the summed attention to the queries' own classes."""
        allowed, drawn = self.others, None
        if self.defence.queries == "split":
            scores = tf.random.stateless_uniform(self.labels.shape, fold(fold(self.seed, _QUERIES), number))
            drawn = split(self.labels, scores, self.defence.split_queries)
            allowed = tf.repeat(~drawn[None], self.labels.shape[0], 0)
        logs = self.log_probabilities(vector, support, support, allowed)
        losses = -tf.gather(logs, self.labels, batch_dims=1)
        return tf.reduce_mean(losses if drawn is None else tf.boolean_mask(losses, drawn))

    def head_step(self, vector, gradient, moments, steps):
        """Take Adam's step on alpha and beta, each with its own rate; return the head's state."""
        vector, adam = adam_step(vector, gradient, AdamState(moments, steps), self.rates)
        alpha, beta = self.head_layout.unpack(vector)
        return self.head_layout.pack([self.head.projected(alpha), beta]), *adam

    def embed_queries(self, theta, seen):
        """Return all queries' features, normalised with the statistics `seen` or each group with its own."""
        if self.statistics == "queries":
            return tf.concat([self.model.features(theta, group)[0] for group in self.queries], 0)
        return self.model.features(theta, tf.concat(self.queries, 0), seen)[0]

    def answer(self, vector, queries, support):
        """Return the queries' class probabilities, float32 [q, N]."""
        return tf.exp(self.log_probabilities(vector, queries, support))

    def log_probabilities(self, vector, queries, support, allowed=None):
        return self.head.log_probabilities(*self.head_layout.unpack(vector), queries, support, self.labels, allowed)
