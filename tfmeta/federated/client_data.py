"""The images that each client owns, as shards: files that only hold what the client may read (ledger 12, 19)."""

import dataclasses
from pathlib import Path

import numpy as np

from tfmeta import registry
from tfmeta.attacks.triggers.base import Trigger
from tfmeta.config import Config
from tfmeta.datasets import shards
from tfmeta.datasets.image_bank import ImageBank
from tfmeta.datasets.shares import Partition


class ClientData:
    """The clients' images of one data set and partition, written as shards when first asked for.

    Whenever it is asked, it returns the paths of intact files alone: what was damaged meanwhile is made again.

    Args:
        bank: All images of the data set.
        partition: Who owns which of them.
        trigger: The attackers' trigger.
        config: The run's configuration; it names the attack, which stamps the trigger.
        folder: Folder for the shards; each has room for `capacity` images per class.
    """

    def __init__(self, bank: ImageBank, partition: Partition, trigger: Trigger, config: Config, folder: Path):
        self._bank, self._partition, self._folder = bank, partition, folder
        self._trigger, self._config = trigger, config
        owned = (partition.train, partition.target_benign, partition.backdoor_benign)
        self.capacity = max(subset.examples.shape[1] for subsets in owned for subset in subsets.values())

    def benign(self, user: int, knows_backdoor: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the shards of a benign user (string [shards]) and the images of each class in them (int32 [classes]).

        They hold the user's own classes, the target class, and with `knows_backdoor` the backdoor classes.
        """
        subsets = [self._partition.train[user], self._partition.target_benign[user]]
        if knows_backdoor:
            subsets.append(self._partition.backdoor_benign[user])
        return self._shards(subsets)

    def attacker(self, user: int) -> tuple[np.ndarray, np.ndarray, str, str]:
        """Return an attacker's shards and counts of benign classes, and its files of target and triggered images."""
        paths, counts = self._shards([self._partition.train[user]])
        name = shards.name_of(self._bank)
        files = [shards.write_images(self._folder, name, images) for images in self.poison_images(user)]
        return paths, counts, str(files[0]), str(files[1])

    def poison_images(self, user: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return an attacker's target images and triggered backdoor images (X_T and X_B), each uint8 [n, H, W, C].

        Raises:
            PluginError: the attack's `poison` does not keep their shape and dtype.
        """
        attack = registry.build("attacks", self._config)
        place, number = self._partition.attackers.index(user), len(self._partition.attackers)
        target, backdoor = (shards.images_of(self._bank, part) for part in self._partition.attacker_share(user))
        if self._config.attack.triggered_target:
            target = attack.poisoned(self._trigger, target, place, number)
        return target, attack.poisoned(self._trigger, backdoor, place, number)

    def _shards(self, subsets):
        paths = []
        for subset in subsets:  # each gets room for as many images per class as the others have
            room = self.capacity - subset.examples.shape[1]
            padded = np.pad(subset.examples, ((0, 0), (0, room)), constant_values=-1)
            padded = dataclasses.replace(subset, examples=padded)
            paths.append(str(shards.write_shard(self._folder, self._bank, padded)))
        return np.array(paths), np.concatenate([subset.counts for subset in subsets])
