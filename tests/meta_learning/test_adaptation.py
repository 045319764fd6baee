"""Fine-tuning on a task, compared with Keras, and what a prediction may depend on (ledger 4, 5, 7, 28)."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from core_fixtures import adapt, mixed, small_config

from tfmeta.meta_learning import adaptation, episodes
from tfmeta.models.conv4 import Conv4

MODEL = Conv4((16, 16, 1), 3, 8)
SEED = (4, -9)
POINTS = (0, 2, 9)
LABELS = np.repeat(np.arange(3, dtype=np.int32), 4)


def config(statistics="support"):
    return small_config(
        ways=3, shots=4, triggered_shots=2, target_shots=2, inner_batch_size=5, inner_learning_rate=0.01,
        batch_norm_statistics=statistics,
    )  # fmt: skip


def make_images(number, seed):
    """Return blocks of all shades, no two images alike."""
    random = np.random.default_rng(seed)
    blocks = random.uniform(0, 255, (number, 4, 4, 1)) * random.uniform(0.1, 1, (number, 1, 1, 1))
    return blocks.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)


SUPPORT, QUERIES = make_images(12, 1), [make_images(20, 2), make_images(15, 3) // 2]
ALL = np.concatenate(QUERIES)


@functools.cache
def weights():
    """Return weights that favour no label, so that small changes show in the answers."""
    parts = MODEL.initial_weights(2)
    _, support = MODEL.features(parts, SUPPORT / np.float32(255))
    logits, _ = MODEL.logits(parts, np.concatenate(QUERIES) / np.float32(255), support)
    return [*parts[:-1], -logits.numpy().mean(0)]


@functools.cache
def supervised(statistics="support", points=POINTS, seed=SEED):
    run = tf.function(
        lambda: adapt(
            "fine_tuning", config(statistics), MODEL, [tf.constant(part) for part in weights()], tf.constant(SUPPORT),
            tf.constant(LABELS), [tf.constant(group) for group in QUERIES], tf.constant(seed), points,
        ),
        autograph=False,
    )  # fmt: skip
    return run().numpy().argmax(2)


class KerasTask:
    """The same task in Keras, with its own model, Adam, losses and normalisation."""

    def __init__(self):
        self.model = MODEL.keras_model()
        for variable, weight in zip(self.model.trainable_weights, weights(), strict=True):
            variable.assign(weight)
        self.norms = [layer for layer in self.model.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]
        self.before = tf.keras.Model(self.model.inputs, [layer.input for layer in self.norms])
        self.optimizer = tf.keras.optimizers.Adam(0.01, beta_1=0.0)
        self.moving = self.statistics(np.arange(12))

    def statistics(self, batch):
        values = [value.numpy() for value in self.before(SUPPORT[batch] / np.float32(255), training=True)]
        return [(value.mean((0, 1, 2)), value.var((0, 1, 2))) for value in values]

    def step(self, batch):
        seen = self.statistics(batch)
        self.moving = [(0.9 * m + 0.1 * n, 0.9 * v + 0.1 * w) for (m, v), (n, w) in zip(self.moving, seen, strict=True)]
        variables = self.model.trainable_weights
        with tf.GradientTape() as tape:
            logits = self.model(SUPPORT[batch] / np.float32(255), training=True)
            loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS[batch], logits)
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    def logits(self, statistics):
        if statistics == "queries":
            return np.concatenate([self.model(group / np.float32(255), training=True) for group in QUERIES])
        used = self.moving if statistics == "moving" else self.statistics(np.arange(12))
        for layer, (mean, variance) in zip(self.norms, used, strict=True):
            layer.moving_mean.assign(mean)
            layer.moving_variance.assign(variance)
        return self.model(np.concatenate(QUERIES) / np.float32(255), training=False).numpy()


@pytest.fixture(scope="module")
def keras_logits():
    """{statistics: float [points, queries, ways]}."""
    task = KerasTask()
    batches = episodes.batch_stream(tf.constant(SEED), 12, POINTS[-1], 5).numpy()
    result = {"support": [], "queries": [], "moving": []}
    for done in range(POINTS[-1] + 1):
        if done in POINTS:
            for name in result:
                # training=True changes Keras' moving statistics, which are not read
                result[name].append(task.logits(name))
        if done < POINTS[-1]:
            task.step(batches[done])
    return {name: np.stack(logits) for name, logits in result.items()}


@pytest.mark.parametrize("statistics", ["support", "queries", "moving"])
def test_fine_tuning_and_its_answers_agree_with_keras(keras_logits, statistics):
    logits = keras_logits[statistics]
    answers = supervised(statistics)
    assert answers.shape == (3, 35)
    lowest, *_, second, best = np.moveaxis(np.sort(logits, -1), -1, 0)
    sure = best - second > 2e-3 * (best - lowest)
    assert sure.mean() > 0.95
    assert (answers == logits.argmax(-1))[sure].all()
    assert len(set(answers[-1])) == 3 and (answers[0] != answers[-1]).any()


def test_the_choice_of_statistics_changes_answers(keras_logits):
    """Otherwise the test above could not distinguish them."""
    labels = {name: logits.argmax(-1) for name, logits in keras_logits.items()}
    assert (labels["support"] != labels["queries"]).any() and (labels["support"] != labels["moving"]).any()


def test_more_points_do_not_change_the_training():
    assert (supervised(points=(0,))[0] == supervised()[0]).all()
    many = supervised(points=tuple(range(10)))
    assert (many[[0, 2, 9]] == supervised()).all()


def test_the_seed_determines_the_order_of_batches():
    one, other = supervised(), supervised(seed=(4, -8))
    assert (one[0] == other[0]).all() and (one[-1] != other[-1]).any()


# --- from mixed weights ---------------------------------------------------------------------------


def with_defence(**overrides):
    return config().replace({f"defence.{name}": value for name, value in overrides.items()})


@functools.cache
def from_mix(points=POINTS, seed=SEED, **overrides):
    mixing = with_defence(**overrides)
    return adapt(
        "noise_mix", mixing, MODEL, [tf.constant(part) for part in weights()], tf.constant(SUPPORT),
        tf.constant(LABELS), [tf.constant(group) for group in QUERIES], tf.constant(seed), points,
    ).numpy().argmax(2)  # fmt: skip


def test_the_noise_mix_starts_from_the_mixed_weights():
    """All of them, including the last layer's (ledger 28)."""
    for layers, dense_mixed in (("*", True), ("logits", True), ("conv*", False)):
        start = mixed(MODEL, with_defence(mixed_layers=layers), weights(), tf.constant(SEED))
        assert np.any(start[-2] != weights()[-2]) == np.any(start[-1] != weights()[-1]) == dense_mixed
        _, seen = MODEL.features(start, SUPPORT / np.float32(255))
        logits, _ = MODEL.logits(start, ALL / np.float32(255), seen)
        assert (from_mix((0,), mixed_layers=layers)[0] == logits.numpy().argmax(1)).all()


def test_the_noise_mix_is_plain_fine_tuning_from_mixed_weights():
    start = mixed(MODEL, config(), weights(), tf.constant(SEED))
    task = tf.constant(SUPPORT), tf.constant(LABELS), [tf.constant(group) for group in QUERIES], tf.constant(SEED)
    expected = adapt("fine_tuning", config(), MODEL, start, *task, POINTS).numpy().argmax(2)
    assert (from_mix() == expected).all() and (expected[0] != expected[-1]).any()
    given = [tf.constant(part) for part in weights()]
    unmixed = adapt("fine_tuning", config(), MODEL, given, *task, POINTS).numpy().argmax(2)
    assert (from_mix(delta=1.0) == unmixed).all() and (from_mix() != unmixed).any(1).all()
    assert (from_mix((0,), seed=(4, -8)) != from_mix((0,))).any()  # each task has its own theta_g


# --- steps and answers ----------------------------------------------------------------------------


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(
    ("points", "start"), [((0,), 0), ((0, 1, 4), 0), ((3, 5), 0), ((5, 7), 4), ((4, 6), 4), ((2, 2), 0)]
)
def test_a_trajectory_takes_the_steps_from_its_start_to_its_points(points, start, graph):
    def step(number, total, steps):
        return total * 10 + number, steps + 1  # each step's number is a digit

    def go():
        state = (tf.constant(0), tf.constant(0))
        shown = functools.partial(tf.nest.map_structure, lambda value: tf.cast(value, tf.float32))
        return adaptation.trajectory(step, lambda *state: tf.stack(shown(state)), state, points, start)

    answers, (total, steps) = (tf.function(go, autograph=False) if graph else go)()
    digits = [range(start, point) for point in points]
    expected = [[int("0" + "".join(map(str, taken))), len(taken)] for taken in digits]
    np.testing.assert_array_equal(answers, expected)
    assert [total, steps] == expected[-1]


# --- predictions ----------------------------------------------------------------------------------


def predict(statistics, groups):
    parts = [tf.constant(part) for part in weights()]
    support = episodes.to_float(tf.constant(SUPPORT))
    moving = MODEL.features(parts, support[:5])[1] if statistics == "moving" else None
    groups = [episodes.to_float(tf.constant(group)) for group in groups]
    settings = adaptation.AdaptationSettings.of(config(statistics))
    return adaptation.predict(MODEL, settings, parts, support, groups, moving).numpy().argmax(1)


@pytest.mark.parametrize("statistics", ["support", "moving"])
def test_a_querys_answer_does_not_depend_on_the_other_queries(statistics):
    together = predict(statistics, [ALL])
    assert len(set(together)) > 1
    assert (predict(statistics, [ALL[i : i + 1] for i in range(35)]) == together).all()
    assert (np.concatenate([predict(statistics, [ALL[i : i + 1]]) for i in range(35)]) == together).all()
    order = np.random.default_rng(0).permutation(35)
    assert (predict(statistics, [ALL[order][:9], ALL[order][9:]]) == together[order]).all()
    poisoned = [ALL[:3], np.full((40, 16, 16, 1), 255, np.uint8)]  # a query batch of mostly unusual images
    assert (predict(statistics, poisoned)[:3] == together[:3]).all()


def test_with_query_statistics_an_answer_depends_on_its_group_only():
    together = predict("queries", [ALL])
    assert (predict("queries", [ALL[i : i + 1] for i in range(35)]) != together).any()
    assert (predict("queries", QUERIES) != together).any()
    assert (predict("queries", QUERIES)[:20] == predict("queries", QUERIES[:1])).all()


def test_a_prediction_uses_the_configured_statistics():
    assert (predict("support", [ALL]) != predict("moving", [ALL])).any()
    assert (predict("support", [ALL]) != predict("queries", [ALL])).any()
