"""What the tests share: a bank of random images that can be told apart, a small configuration, and small clients.

These are plain cached functions, not fixtures, so that property tests can call them too. Do not change what they
return.
"""

import functools

import numpy as np

from tfmeta import registry
from tfmeta.config import Config, make_config, resolve_all
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.omniglot import Omniglot
from tfmeta.datasets.partition import make_partition

CLASSES, EXAMPLES = 1623, 20  # Omniglot's


@functools.cache
def bank():
    """Return a bank of Omniglot's shape. Each image is different noise, so it identifies its class and example."""
    images = np.random.default_rng(1).integers(0, 256, (CLASSES, EXAMPLES, 28, 28, 1), np.uint8)
    images.setflags(write=False)
    names = tuple(f"class{number}" for number in range(CLASSES))
    return ImageBank("omniglot", images, names, "0" * 64, "random", ("background",) * CLASSES)


@functools.cache
def partition(split_seed=0, users=4, attackers=1):
    return make_partition(bank(), Omniglot(), split_seed, users, attackers)


@functools.cache
def _catalogue():
    images = bank().images.reshape(-1, 28 * 28)
    return {image.tobytes(): divmod(number, EXAMPLES) for number, image in enumerate(images)}


def identify(image):
    """Return (class, example, quarter turns) of an image of the bank, or None for any other image."""
    for turns in range(4):
        found = _catalogue().get(np.rot90(image, -turns).tobytes())
        if found is not None:
            return (*found, turns)
    return None


def small_config(**overrides):
    """Return a configuration of few steps on tiny networks; `overrides` as for `make_config`."""
    small = dict(
        filters=4, meta_learning_inner_steps=3, attack_inner_steps=2, meta_batch_size=2, attack_episodes=8,
        attack_checkpoint_episodes=4,
    )  # fmt: skip
    return make_config("omniglot", "smoke", **{**resolve_all(small), **resolve_all(overrides)})


def adapt(defence, config, model, *task):
    """Adapt a model to a task with a built-in defence; `task` is weights, support, labels, queries, seed, points."""
    from tfmeta.meta_learning.adaptation import AdaptationSettings

    return registry.build("defences", config, defence).adapt(model, AdaptationSettings.of(config), *task)


def mixed(model, config, weights, seed):
    """Return theta' with the delta and the layers of a configuration."""
    from tfmeta.defences import noise_mix

    return noise_mix.mixed(model, config.defence.delta, config.defence.mixed_layers, weights, seed)


def trigger(pattern="checker", **options):
    """Return a built-in trigger."""
    config = Config().replace({"trigger.pattern": pattern, **{f"trigger.{name}": of for name, of in options.items()}})
    return registry.build("triggers", config)


def attack_context(config, seed, **given):
    """Return what the only attacker's hooks are told."""
    from tfmeta.attacks.base import AttackContext

    learning = config.meta_learning
    plain = dict(step=0, start=[], attacker=0, attackers=1, boost=config.attack.boost)
    return AttackContext(seed=seed, ways=learning.ways, shots=learning.shots, **{**plain, **given})


def identity_bank(classes, capacity, flag=0):
    """Return images of 1 x 1 x 3 whose values are (class, example, flag): uint8 [classes, capacity, 1, 1, 3]."""
    numbers = np.stack(np.broadcast_arrays(*np.ogrid[:classes, :capacity], flag), -1)
    return numbers.astype(np.uint8)[:, :, None, None, :]


def read_identity(images):
    """Return int [..., 3], the numbers in images of `identity_bank`."""
    return np.asarray(images)[..., 0, 0, :].astype(int)


class Scene:
    """Clients small enough to be recomputed by hand: 3-way 4-shot episodes of 16 x 16 images, and a tiny Conv4.

    `images` uint8 [7, 6, 16, 16, 1] and `counts` int32 [7] are a client's data, in the two shards `paths`. Places
    where a class has no image hold noise.
    """

    def __init__(self, folder, **overrides):
        from tfmeta.federated.clients import Setting  # here, so that tests without TensorFlow stay without it
        from tfmeta.models.conv4 import Conv4

        small = dict(ways=3, shots=4, inner_batch_size=5, triggered_shots=2, target_shots=2, target_label="random")
        self.config = small_config(**{**resolve_all(small), **resolve_all(overrides)})
        self.setting = Setting(Conv4((16, 16, 1), 3, 4), 6, self.config)
        self.weights = self.setting.model.initial_weights(3)
        random = np.random.default_rng(2)
        self.images = random.integers(0, 256, (7, 6, 16, 16, 1), np.uint8)
        self.counts = np.array([6, 6, 6, 6, 6, 4, 5], np.int32)
        self.target, self.triggered = (random.integers(0, 256, (number, 16, 16, 1), np.uint8) for number in (3, 5))
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.paths = np.array([self.file(self.images[:5]), self.file(self.images[5:])])

    def file(self, array):
        """Write an array (or bytes) raw to a new file; return its path."""
        path = self.folder / f"{len(list(self.folder.iterdir()))}.raw"
        path.write_bytes(array if isinstance(array, bytes) else array.tobytes())
        return str(path)

    def job(self, **given):
        """Return a benign user's job; `given` are fields of `Job`."""
        from tfmeta.federated.jobs import make_job

        plain = dict(
            user="user 2", shards=self.paths, counts=self.counts, seed=[5, -6], meta_step_size=0.5, meta_batches=2,
            alpha=self.config.federation.alpha,
        )  # fmt: skip
        return make_job(**{**plain, **given})

    def prepared_job(self, vector, **given):
        """Return the job of a client that sends weights trained beforehand: float32 [size], or bytes."""
        plain = dict(user="user 1", shards=[], counts=[], meta_batches=0, prepared=self.file(vector))
        return self.job(**{**plain, **given})

    def chunk_job(self, first_episode, meta_batches):
        """Return the attacker's job for a chunk of its training."""
        return self.job(
            user="user 1", first_episode=first_episode, meta_batches=meta_batches,
            target=self.file(self.target), triggered=self.file(self.triggered),
        )  # fmt: skip


def flat(weights):
    """Return weights as one float32 vector."""
    return np.concatenate([np.ravel(part) for part in weights])
