"""Small folders of images, written for a test."""

import numpy as np
from PIL import Image

from tfmeta.datasets import open_dataset
from tfmeta.datasets.image_folder import ImageFolder


def pixels(seed, height=6, width=6, channels=1):
    array = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    return array[..., 0] if channels == 1 else array


def write(folder, files):
    """Write {class/image: array or bytes} below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            Image.fromarray(content).save(path)
    return folder


def drawn(folder, classes=10, images=6, **shape):
    """Write grey images, a different number of them in each class."""
    return write(
        folder,
        {
            f"class{row}/{number}.png": pixels(100 * row + number, **shape)
            for row in range(classes)
            for number in range(images + row)
        },
    )


def opened(folder, tmp_path, **options):
    return open_dataset(ImageFolder(folder=str(folder), **options), tmp_path, tmp_path / "cache")
