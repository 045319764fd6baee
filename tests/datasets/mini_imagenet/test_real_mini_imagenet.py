"""mini-ImageNet as it really is: its layout, and the photos themselves."""

import os

import numpy as np
import pytest
from neighbour import nearest_neighbour

from tfmeta.datasets import open_dataset
from tfmeta.datasets.mini_imagenet.layout import ARCTIC_FOX, SPLITS, YAWL, Layout


def test_the_layout_is_that_of_ravi_and_larochelle():
    layout = Layout()
    assert [getattr(layout, split) for split in SPLITS] == [64, 16, 20] and layout.classes == 100
    assert layout.images == 600


@pytest.mark.needs_data
def test_real_mini_imagenet_is_complete(mini_imagenet_bank, data_dir, cache_dir):
    bank = mini_imagenet_bank
    assert bank.images.shape == (100, 600, 84, 84, 3) and bank.images.dtype == np.uint8
    assert [bank.splits.count(split) for split in SPLITS] == [64, 16, 20]
    assert list(bank.names) == sorted(bank.names)
    for name in (YAWL, ARCTIC_FOX):
        assert bank.splits[bank.names.index(name)] == "train"
    written = sorted((cache_dir / "banks").glob("mini-imagenet-*.npy"), key=os.path.getmtime)[-1].stat()
    again = open_dataset("mini-imagenet", data_dir, cache_dir)
    assert again.digest == bank.digest
    assert sorted((cache_dir / "banks").glob("mini-imagenet-*.npy"), key=os.path.getmtime)[-1].stat() == written
    few = bank.images[:, :6].reshape(600, -1)
    assert len({image.tobytes() for image in few}) > 590  # known: 8 pairs of 60,000 are the same
    assert (few.std(1) > 2).all()  # no image is blank


@pytest.mark.slow
@pytest.mark.needs_data
def test_real_photos_are_hard_for_the_nearest_neighbour(mini_imagenet_bank):
    """Pixels say a little more than chance (0.20): the classes are those of the images."""
    assert 0.27 < nearest_neighbour(mini_imagenet_bank.images[:, :20], shots=5) < 0.36
