"""Data sets from outside: their banks are told apart by what they hold and by what made them."""

import dataclasses

import numpy as np
import pytest

from tfmeta.datasets import cache, open_dataset
from tfmeta.datasets.base import Dataset
from tfmeta.datasets.image_bank import ImageBank, digest_of

SHAPE = (2, 3, 4, 4, 1)
NAMES = ("a", "b")
pytestmark = pytest.mark.usefixtures("forget_plugins")


class Reusing(Dataset):
    """Changes another bank's images and keeps its digest."""

    level: int = 0

    def open(self, data_dir, cache_dir, download=True):
        bank = ImageBank("other", np.zeros(SHAPE, np.uint8), NAMES, source="another bank")
        return dataclasses.replace(bank, dataset=self.NAME, images=np.full(SHAPE, self.level, np.uint8))


class Cached(Dataset):
    """Keeps its bank in the cache, under an identity that does not tell its options."""

    level: int = 0

    def open(self, data_dir, cache_dir, download=True):
        def fill(images):
            images[:] = self.level
            return cache.Description(NAMES, ("", ""), "made here")

        return cache.fetch(cache_dir, self.NAME, {"made": "here"}, SHAPE, fill)


def opened(dataset, folder):
    return open_dataset(dataset, folder, folder)


@pytest.mark.parametrize("kind", [Reusing, Cached])
def test_the_images_and_the_digest_are_those_of_the_options(kind, tmp_path):
    for level in (1, 2, 1):
        bank = opened(kind(level=level), tmp_path)
        assert (bank.images == level).all() and bank.digest == digest_of(bank.images, NAMES)
    assert bank.source in ("another bank", "made here")


def test_an_edited_data_set_makes_its_bank_again(tmp_path):
    first = opened(Cached(level=1), tmp_path)

    class Edited(Cached):
        NAME = "test-open-outside"

        def open(self, data_dir, cache_dir, download=True):
            def fill(images):
                images[:] = self.level + 5
                return cache.Description(NAMES, ("", ""), "made here")

            return cache.fetch(cache_dir, self.NAME, {"made": "here"}, SHAPE, fill)

    edited = opened(Edited(level=1), tmp_path)
    assert first.dataset == edited.dataset and (edited.images == 6).all()


def test_banks_that_the_package_fills_are_shared(tmp_path):
    def fill(images):
        return cache.Description(NAMES, ("", ""), "made here")

    def made(maker, module):
        fill.__module__ = module
        with cache.made_by(maker):
            cache.fetch(tmp_path, "one", {}, SHAPE, fill)
        return len(list((tmp_path / "banks").glob("*.npy")))

    found = [made(None, "tfmeta.one"), made({"code": "a"}, "tfmeta.one"), made({"code": "a"}, "own")]
    assert found == [1, 1, 2]
