"""What the tests of the core share: a bank of random pictures that can be told apart, and a small configuration.

Plain cached functions and no fixtures, so that property tests can call them too. Nobody may change what they return.
"""

import functools

import numpy as np

from tfmeta.config import make_config
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.partition import CLASSES, EXAMPLES, make_partition


@functools.cache
def bank():
    """A bank of Omniglot's shape; each picture is noise of its own, so it names its class and example."""
    images = np.random.default_rng(1).integers(0, 256, (CLASSES, EXAMPLES, 28, 28, 1), np.uint8)
    images.setflags(write=False)
    names = tuple(f"class{number}" for number in range(CLASSES))
    return ImageBank("omniglot", images, names, "0" * 64, "random", ("background",) * CLASSES)


@functools.cache
def partition(split_seed=0):
    return make_partition(bank(), split_seed)


@functools.cache
def _catalogue():
    images = bank().images.reshape(-1, 28 * 28)
    return {picture.tobytes(): divmod(number, EXAMPLES) for number, picture in enumerate(images)}


def identify(picture):
    """Return (class, example, quarter turns) of a picture of the bank, or None for any other picture."""
    for turns in range(4):
        found = _catalogue().get(np.rot90(picture, -turns).tobytes())
        if found is not None:
            return (*found, turns)
    return None


def small_config(**overrides):
    """A configuration of few steps on tiny networks."""
    small = dict(filters=4, inner_steps=3, attack_inner_steps=2, meta_batch_size=2, attack_checkpoint_episodes=4, attack_episodes=8)
    return make_config("omniglot", "smoke", **{**small, **overrides})


def identity_bank(classes, capacity, flag=0):
    """Pictures of 1 x 1 x 3 whose values are (class, example, flag): uint8 [classes, capacity, 1, 1, 3]."""
    numbers = np.stack(np.broadcast_arrays(*np.ogrid[:classes, :capacity], flag), -1)
    return numbers.astype(np.uint8)[:, :, None, None, :]


def read_identity(pictures):
    """Return int [..., 3] from pictures of ``identity_bank``."""
    return np.asarray(pictures)[..., 0, 0, :].astype(int)


class Scene:
    """Clients small enough to be recomputed by hand: 3-way 4-shot episodes of 16 x 16 pictures, a tiny Conv4.

    ``images`` uint8 [7, 6, 16, 16, 1] and ``counts``: a bank in two files, with noise where a class has no picture.
    """

    def __init__(self, folder, **overrides):
        from tfmeta.federated.clients import Setting  # here, so that tests without TensorFlow stay without
        from tfmeta.models.conv4 import Conv4

        small = dict(ways=3, shots=4, inner_batch_size=5, triggered_shots=2, target_shots=2, target_label="random")
        self.config = small_config(**{**small, **overrides})
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
        """Write an array raw; return the path."""
        path = self.folder / f"{len(list(self.folder.iterdir()))}.raw"
        path.write_bytes(array if isinstance(array, bytes) else array.tobytes())
        return str(path)

    def job(self, **given):
        """Return a benign user's ``Job``."""
        from tfmeta.federated.clients import Job

        plain = dict(
            user="user 2", paths=self.paths, counts=self.counts, seed=np.array([5, -6], np.int32),
            epsilon=np.float32(0.5), first=np.int32(0), meta_batches=np.int32(2), alpha=np.float32(self.config.federation.alpha),
            boost=np.float32(1), prepared="", target="", triggered="",
        )  # fmt: skip
        return Job(**{**plain, **given})

    def prepared_job(self, vector, **given):
        """Return the job of a client that sends weights trained beforehand: float32 [size], or bytes."""
        nothing = dict(paths=np.array([], str), counts=np.array([], np.int32), meta_batches=np.int32(0))
        return self.job(**{"user": "user 1", **nothing, "prepared": self.file(vector), **given})

    def chunk_job(self, first, meta_batches):
        """Return the attacker's job for a chunk of its training."""
        return self.job(
            user="user 1", first=np.int32(first), meta_batches=np.int32(meta_batches),
            target=self.file(self.target), triggered=self.file(self.triggered),
        )  # fmt: skip


def flat(weights):
    """Return weights as one float32 vector."""
    return np.concatenate([np.ravel(part) for part in weights])
