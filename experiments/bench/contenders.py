"""What is timed: the same local training through the core, in process, through TFF, and as a naive loop."""

import time
import types

import numpy as np

from tfmeta.attacks.triggers.base import Trigger
from tfmeta.config import make_config
from tfmeta.datasets.partition import BENIGN, make_partition
from tfmeta.federated import jobs
from tfmeta.federated.clients import Setting
from tfmeta.utils import seeds

EPISODES = 10  # a user and round; short turns, so that the best one falls into a quiet moment


def scene(folder, **overrides):
    """Return (setting, banks, weights) of the paper's network on random pictures: speed does not read them."""
    import tensorflow as tf  # noqa: F401 - threads are set by the caller before the first operation

    from tfmeta.models.conv4 import Conv4

    config = make_config("omniglot", "paper", **overrides)
    images = np.random.default_rng(0).integers(0, 256, (1623, 20, 28, 28, 1), dtype=np.uint8)
    bank = types.SimpleNamespace(dataset="bench", images=images, digest="0" * 64)
    banks = jobs.ClientData(bank, make_partition(bank, 0), Trigger(), config, folder)
    setting = Setting(Conv4((28, 28, 1), config.meta_learning.ways, config.meta_learning.filters), banks.capacity, config)
    return setting, banks, setting.model.initial_weights()


def colour_scene(folder):
    """Return (setting, banks, weights) of mini-ImageNet's profile quick on random pictures of its size."""
    from tfmeta.datasets.mini_imagenet.layout import ARCTIC_FOX, YAWL
    from tfmeta.datasets.mini_imagenet.split import SPLITS
    from tfmeta.models.conv4 import Conv4

    config = make_config("mini-imagenet", "quick")
    one = np.random.default_rng(0).integers(0, 256, (1, 600, 84, 84, 3), dtype=np.uint8)
    splits = [split for split, classes in SPLITS.items() for _ in range(classes)]
    names = [YAWL, ARCTIC_FOX, *map(str, range(2, len(splits)))]
    bank = types.SimpleNamespace(
        dataset="mini-imagenet", images=np.broadcast_to(one, (len(splits), *one.shape[1:])), digest="1" * 64,
        names=names, splits=splits,
    )  # fmt: skip
    banks = jobs.ClientData(bank, make_partition(bank, 0), Trigger(), config, folder)
    setting = Setting(Conv4((84, 84, 3), config.meta_learning.ways, config.meta_learning.filters), banks.capacity, config)
    return setting, banks, setting.model.initial_weights()


def step_flops(model, batch):
    """Return the floating-point operations of one inner step: forward, both gradients (one in the first module)."""
    height, width, channels = model.image_shape
    operations = 0
    for module in range(4):
        forward = 2 * batch * height * width * 9 * channels * model.filters
        operations += forward * (2 if module == 0 else 3)
        height, width, channels = height // 2, width // 2, model.filters
    return operations + 3 * 2 * batch * model.feature_size * model.ways


def core(setting, banks, weights):
    """Return a function that runs one user's local training by the core and returns its seconds."""
    import tensorflow as tf

    from tfmeta.meta_learning import episodes
    from tfmeta.meta_learning.reptile import fresh_adam, local_training
    from tfmeta.models.flat import layout_of

    images, counts, theta = _bank(setting, banks, weights)
    config, size = setting.config, layout_of(setting.model).size

    @tf.function(autograph=False)
    def train(theta):
        def sampler(seed):
            return episodes.sample_episode(images, counts, seed, config.meta_learning.ways, config.meta_learning.shots)

        meta_batches = EPISODES // config.meta_learning.meta_batch_size
        return local_training(
            setting.model, setting.reptile, sampler, theta, fresh_adam(size), 0.1, tf.constant([1, 2]), 0, meta_batches
        ).weights

    return timed(lambda: train(theta)[0].numpy())


def naive(setting, banks, weights):
    """Return a function that trains the same network on the same episodes as a beginner would, and its seconds.

    One episode after another in one ``tf.function``, weights and moments as lists, all cores in each operation.
    """
    import tensorflow as tf

    from tfmeta.meta_learning import episodes

    images, counts, theta = _bank(setting, banks, weights)
    config, model = setting.config, setting.model

    @tf.function
    def train(theta):
        epsilon, moments = 0.1, [tf.zeros_like(part) for part in theta]
        for first in tf.range(0, EPISODES, config.meta_learning.meta_batch_size):
            total = [tf.zeros_like(part) for part in theta]
            for number in tf.range(first, first + config.meta_learning.meta_batch_size):
                seed = seeds.fold(tf.constant([1, 2]), number)
                pictures, labels = episodes.sample_episode(images, counts, seed, config.meta_learning.ways, config.meta_learning.shots)
                batches = episodes.batch_stream(
                    seed, config.meta_learning.ways * config.meta_learning.shots, config.meta_learning.inner_steps, config.meta_learning.inner_batch_size
                )
                local = theta
                for batch in batches:
                    inputs = episodes.to_float(tf.gather(pictures, batch))
                    with tf.GradientTape() as tape:
                        tape.watch(local)
                        logits, _ = model.logits(local, inputs)
                        loss = tf.reduce_mean(
                            tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather(labels, batch), logits)
                        )
                    gradients = tape.gradient(loss, local)
                    moments = [0.999 * m + 0.001 * g * g for m, g in zip(moments, gradients)]  # noqa: B905
                    local = [w - config.meta_learning.inner_learning_rate * g / (tf.sqrt(m) + 1e-7) for w, g, m in zip(local, gradients, moments)]  # noqa: B905
                total = [done + part for done, part in zip(total, local)]  # noqa: B905
            theta = [w + epsilon * (t / config.meta_learning.meta_batch_size - w) for w, t in zip(theta, total)]  # noqa: B905
        return theta

    return timed(lambda: train(theta)[0].numpy())


def rounds(federation, setting, banks, weights):
    """Return a function that runs one round of three users and returns its seconds."""
    jobs = [jobs.benign_job(banks, setting.config, user, True, "pretraining", 0, EPISODES) for user in BENIGN]
    state = federation.start(weights)
    return timed(lambda: federation.next(state, jobs))


def matrix_multiply(size=1024, repeats=20):
    """Return a function that returns the seconds of one float32 product of square matrices, on all cores."""
    import tensorflow as tf

    left = tf.random.normal([size, size], seed=0)

    def work():
        for _ in range(repeats):
            product = tf.matmul(left, left)
        product.numpy()

    measure = timed(work)
    return lambda: measure() / repeats


def _bank(setting, banks, weights):
    import tensorflow as tf

    from tfmeta.federated.clients import read_pools

    paths, counts = banks.benign(BENIGN[0], True)
    images = read_pools(tf.constant(paths), setting.capacity, setting.model.image_shape)
    return images, tf.constant(counts), [tf.constant(part) for part in weights]


def timed(work):
    """Return a function that does some work and returns its seconds."""

    def measure():
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    return measure
