"""What is timed: each function returns one that does the work. Images are random; speed does not read them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfmeta import registry
from tfmeta.config import make_config
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.mini_imagenet.split import ARCTIC_FOX, SPLITS, YAWL
from tfmeta.datasets.shards import read_shards
from tfmeta.federated import client_data, clients, jobs
from tfmeta.meta_learning import episodes, evaluation
from tfmeta.meta_learning.adaptation import AdaptationSettings
from tfmeta.meta_learning.tasks import Tasks
from tfmeta.models.conv4 import Conv4
from tfmeta.utils import seeds

Work = Callable[[], object]
EPISODES = 10  # per user; turns are short, so that the best one meets a quiet moment
MATRIX, PRODUCTS = 1024, 32  # products of square matrices show the machine's best rate


class Scene:
    """Clients with random images; `folder` is for their shards."""

    def __init__(self, dataset: str, profile: str, folder: Path):
        bank, self.config = _bank(dataset), make_config(dataset, profile)
        partition, learning = registry.find("datasets", dataset)().partition(bank, 0, 4, 1), self.config.meta_learning
        trigger = registry.build("triggers", self.config)
        self.data = client_data.ClientData(bank, partition, trigger, self.config, folder)
        self.model = Conv4(bank.images.shape[2:], learning.ways, learning.filters)
        self.setting = clients.Setting(self.model, self.data.capacity, self.config)
        self.weights = self.model.initial_weights()


def naive(scene: Scene) -> Work:
    """Train on the same episodes as a beginner would: one after another, with weights and moments as lists."""
    learning, nest = scene.config.meta_learning, tf.nest.map_structure
    paths, counts = scene.data.benign(2, True)
    images = read_shards(tf.constant(paths), scene.data.capacity, scene.model.image_shape)
    size, steps, ways, shots = learning.meta_batch_size, learning.inner_steps, learning.ways, learning.shots

    def inner_step(local, moments, inputs, labels):
        with tf.GradientTape() as tape:
            tape.watch(local)
            logits, _ = scene.model.logits(local, episodes.to_float(inputs))
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, local)
        moments = nest(lambda m, g: 0.999 * m + 0.001 * g * g, moments, gradients)
        return nest(lambda w, g, m: w - 0.001 * g / (tf.sqrt(m) + 1e-7), local, gradients, moments), moments

    @tf.function
    def train(theta):
        moments = nest(tf.zeros_like, theta)
        for first in tf.range(0, EPISODES, size):
            total = nest(tf.zeros_like, theta)
            for number in tf.range(first, first + size):
                seed, local = seeds.fold(tf.constant([1, 2]), number), theta
                drawn, labels = episodes.sample_episode(images, tf.constant(counts), seed, ways, shots)
                for batch in episodes.batch_stream(seed, ways * shots, steps, learning.inner_batch_size):
                    local, moments = inner_step(local, moments, tf.gather(drawn, batch), tf.gather(labels, batch))
                total = nest(tf.add, total, local)
            theta = nest(lambda w, t: w + 0.1 * (t / size - w), theta, total)
        return theta

    weights = [tf.constant(part) for part in scene.weights]
    return lambda: train(weights)[0].numpy()


def rounds(federation, scene: Scene, users: tuple[int, ...], number: int) -> Work:
    """Run one round in which each of `users` trains on `number` episodes."""
    work = [jobs.benign_job(scene.data, scene.config, user, True, "pretraining", 0, number) for user in users]
    state = federation.start(scene.weights)
    return lambda: federation.next(state, work)


def matrix_products() -> Work:
    """Multiply `PRODUCTS` pairs of float32 matrices of side `MATRIX`, each on one core."""
    left = tf.random.normal([MATRIX, MATRIX], seed=0)
    products = tf.function(lambda: tf.map_fn(lambda x: tf.matmul(x * left, left)[0, 0], tf.range(float(PRODUCTS))))
    return lambda: products().numpy()


def adapting(defence: str, number: int = 5, steps: int = 10) -> Work:
    """Fine-tune the paper's network on `number` tasks for `steps` steps of 25 images; matching's are joint ones."""
    config, model = make_config("omniglot", "paper", inner_batch_size=25, attention_steps=0), Conv4((28, 28, 1), 5, 64)
    labels, draws = np.tile(np.arange(5, dtype=np.int32), (number, 1)), np.arange(2 * number, dtype=np.int32)
    support, queries = _random(number, 25, 28, 28, 1), _random(number, 5, 28, 28, 1)
    tasks = Tasks(support, np.repeat(labels, 5, axis=1), queries, labels, {}, {}, None, draws.reshape(number, 2))
    settings, weights = AdaptationSettings.of(config), model.initial_weights()
    used = registry.build("defences", config, defence)
    return lambda: evaluation.measure(model, settings, weights, tasks, (steps,), used)


def operations(model: Conv4, batch: int, steps: int) -> int:
    """Return the floating-point operations of inner steps: forward, and both gradients (one in the first module)."""
    (height, width, channels), total = model.image_shape, 3 * 2 * batch * model.feature_size * model.ways
    for module in range(4):
        total += 2 * batch * height * width * 9 * channels * model.filters * (2 if module == 0 else 3)
        height, width, channels = height // 2, width // 2, model.filters
    return steps * total


def _bank(dataset):
    images, splits = _random(1623, 20, 28, 28, 1), ("background",) * 1623
    if dataset == "mini-imagenet":
        splits = tuple(split for split, classes in SPLITS.items() for _ in range(classes))
        images = np.broadcast_to(_random(1, 600, 84, 84, 3), (len(splits), 600, 84, 84, 3))
    names = (YAWL, ARCTIC_FOX, *map(str, range(2, len(splits))))
    return ImageBank(dataset, images, names, "0" * 64, "random", splits)


def _random(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
