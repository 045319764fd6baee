"""What is timed. Each contender is a function that returns its seconds; images are random, since speed ignores them."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfmeta import registry
from tfmeta.attacks.triggers.base import Trigger
from tfmeta.config import make_config
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.mini_imagenet.split import ARCTIC_FOX, SPLITS, YAWL
from tfmeta.datasets.shards import read_shards
from tfmeta.datasets.shares import BENIGN
from tfmeta.federated import client_data, clients, jobs
from tfmeta.meta_learning import adam, episodes, evaluation, reptile
from tfmeta.meta_learning.tasks import Tasks
from tfmeta.models.conv4 import Conv4
from tfmeta.models.flat import layout_of
from tfmeta.utils import seeds, threads

Contender = Callable[[], float]
EPISODES, COLOR_EPISODES = 10, 5  # per user; turns are short, so that the best one meets a quiet moment
TASKS, STEPS = 5, 10
MATRIX = 1024  # side of the square matrices whose product shows the machine's best rate
_SEED = (1, 2)


class Scene:
    """Clients with random images; `folder` is for their shards."""

    def __init__(self, dataset: str, profile: str, folder: Path):
        bank, config = _bank(dataset), make_config(dataset, profile)
        partition = registry.load("datasets", dataset).partition(bank, 0)
        self.config, learning = config, config.meta_learning
        self.data = client_data.ClientData(bank, partition, Trigger.of(config), config, folder)
        self.model = Conv4(bank.images.shape[2:], learning.ways, learning.filters)
        self.setting = clients.Setting(self.model, self.data.capacity, config)
        self.weights = [tf.constant(part) for part in self.model.initial_weights()]

    def images(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Return one user's images uint8 [classes, capacity, H, W, C] and their counts int32 [classes]."""
        paths, counts = self.data.benign(BENIGN[0], True)
        return read_shards(tf.constant(paths), self.data.capacity, self.model.image_shape), tf.constant(counts)


def timed(work: Callable[[], object]) -> Contender:
    """Return a function that does some work and returns its seconds."""

    def measure():
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    return measure


def core(scene: Scene) -> Contender:
    """Train one user's model for `EPISODES` by the core: episodes side by side, one thread per operation."""
    (images, counts), model, learning = scene.images(), scene.model, scene.config.meta_learning

    @tf.function(autograph=False)
    def train(theta):
        def sampler(seed):
            return episodes.sample_episode(images, counts, seed, learning.ways, learning.shots)

        work = theta, adam.fresh_adam(layout_of(model).size), 0.1, tf.constant(_SEED), 0, EPISODES // 5
        return reptile.local_training(model, scene.setting.reptile, sampler, *work).weights

    return timed(lambda: train(scene.weights)[0].numpy())


def naive(scene: Scene) -> Contender:
    """Train on the same episodes as a beginner would: one after another, with weights and moments as lists."""
    (images, counts), model, learning = scene.images(), scene.model, scene.config.meta_learning
    nest, eta, size, steps = tf.nest.map_structure, learning.inner_learning_rate, learning.meta_batch_size, learning.inner_steps

    def inner_step(local, moments, inputs, labels):
        with tf.GradientTape() as tape:
            tape.watch(local)
            logits, _ = model.logits(local, episodes.to_float(inputs))
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, local)
        moments = nest(lambda m, g: 0.999 * m + 0.001 * g * g, moments, gradients)
        return nest(lambda w, g, m: w - eta * g / (tf.sqrt(m) + 1e-7), local, gradients, moments), moments

    @tf.function
    def train(theta):
        moments = nest(tf.zeros_like, theta)
        for first in tf.range(0, EPISODES, size):
            total = nest(tf.zeros_like, theta)
            for number in tf.range(first, first + size):
                seed, local = seeds.fold(tf.constant(_SEED), number), theta
                drawn, labels = episodes.sample_episode(images, counts, seed, learning.ways, learning.shots)
                for batch in episodes.batch_stream(seed, drawn.shape[0], steps, learning.inner_batch_size):
                    local, moments = inner_step(local, moments, tf.gather(drawn, batch), tf.gather(labels, batch))
                total = nest(tf.add, total, local)
            theta = nest(lambda w, t: w + 0.1 * (t / size - w), theta, total)
        return theta

    return timed(lambda: train(scene.weights)[0].numpy())


def serve_naive(folder: str) -> None:
    """For each line of standard input print the seconds of `naive`, with all cores in each operation.

    This takes a process of its own, because TensorFlow's threads are set once per process.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads.cores())
    measure = naive(Scene("omniglot", "paper", Path(folder)))
    for _ in sys.stdin:
        print(measure(), flush=True)


def rounds(federation, scene: Scene, users: tuple[int, ...], number: int) -> Contender:
    """Run one round in which each of `users` trains on `number` episodes."""
    work = [jobs.benign_job(scene.data, scene.config, user, True, "pretraining", 0, number) for user in users]
    state = federation.start([part.numpy() for part in scene.weights])
    return timed(lambda: federation.next(state, work))


def matrix_products() -> Contender:
    """Multiply float32 matrices of side `MATRIX`, one product per core at a time; the seconds are those of each."""
    left, number = tf.random.normal([threads.cores(), MATRIX, MATRIX], seed=0), 10 * threads.cores()

    @tf.function
    def multiply():
        return tf.map_fn(lambda at: tf.matmul(left[at % len(left)], left[0]), tf.range(number), tf.float32)

    measure = timed(lambda: multiply()[0, 0, 0].numpy())
    return lambda: measure() / number


def adapting(defence: str) -> Contender:
    """Fine-tune the paper's network on `TASKS` tasks for `STEPS` steps of 25 images; matching steps are joint ones."""
    config = make_config("omniglot", "paper", inner_batch_size=25, attention_steps=0)
    model, random = Conv4((28, 28, 1), 5, 64), np.random.default_rng(0)
    labels = np.tile(np.arange(5, dtype=np.int32), (TASKS, 1))
    tasks = Tasks(
        support=_random(TASKS, 25, 28, 28, 1), support_labels=np.repeat(labels, 5, axis=1),
        queries=_random(TASKS, 5, 28, 28, 1), query_labels=labels, triggered={}, counted={}, target=None,
        seeds=random.integers(0, 1000, (TASKS, 2)).astype(np.int32),
    )  # fmt: skip
    adapt, weights = registry.load("defences", defence).adapt, model.initial_weights()
    return timed(lambda: evaluation.measure(model, config, weights, tasks, (STEPS,), adapt))


def step_operations(model: Conv4, batch: int) -> int:
    """Return the floating-point operations of one inner step: forward, and both gradients (one in the first module)."""
    (height, width, channels), total = model.image_shape, 3 * 2 * batch * model.feature_size * model.ways
    for module in range(4):
        total += 2 * batch * height * width * 9 * channels * model.filters * (2 if module == 0 else 3)
        height, width, channels = height // 2, width // 2, model.filters
    return total


def _bank(dataset):
    images, splits = _random(1623, 20, 28, 28, 1), ("background",) * 1623
    if dataset == "mini-imagenet":
        splits = tuple(split for split, classes in SPLITS.items() for _ in range(classes))
        images = np.broadcast_to(_random(1, 600, 84, 84, 3), (len(splits), 600, 84, 84, 3))
    names = (YAWL, ARCTIC_FOX, *map(str, range(2, len(splits))))
    return ImageBank(dataset, images, names, "0" * 64, "random", splits)


def _random(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)
