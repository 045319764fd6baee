"""mini-ImageNet from the pickles that circulate, one per split, read without running them (`safe_pickle`).

There are two forms. That of Ren et al. (2018) is {"image_data": uint8 [n, H, W, 3], "class_dict": {class: numbers of
its images}}; that of Gidaris and Komodakis (2018) is {"data": the same, "labels": a number per image, "catname2label":
{class: number}}.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfmeta.datasets.archives import MOST_PIXELS
from tfmeta.datasets.mini_imagenet.layout import SPLITS, Listing
from tfmeta.datasets.safe_pickle import Array, Malformed, read_pickle
from tfmeta.errors import DataError

_MOST = 100_000  # images in a file; the largest has 38,400. More numbers could fill the memory
# The file of each split, in either form.
FILES = (
    {split: f"mini-imagenet-cache-{split}.pkl" for split in SPLITS},
    {
        "train": "miniImageNet_category_split_train_phase_train.pickle",
        "val": "miniImageNet_category_split_val.pickle",
        "test": "miniImageNet_category_split_test.pickle",
    },
)


def read_split(path: Path) -> tuple[Listing, np.ndarray]:
    """Return the numbers of each class's images, and all images of a pickle: uint8 [n, H, W, 3], mapped from the file.

    Raises `DataError` if the file is refused, or has neither of the two forms.
    """
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds no dict with image_data and class_dict; get it again")
    images = _images(path, content)
    classes: dict[str, list[int]] = {}
    owner: dict[int, str] = {}
    for name, numbers in _classes(path, content):  # one at a time: a file may give one long list to all
        for number in numbers:
            if not 0 <= number < len(images):
                raise DataError(f"{path}: the class {name} has image {number}, of {len(images)}; get it again")
            if number in owner:
                raise DataError(f"{path}: image {number} is in {owner[number]} and again in {name}; get it again")
            owner[number] = name
        classes[name] = numbers
    return Listing(path, classes), images


def _images(path: Path, content: dict) -> np.ndarray:
    images = _array(path, content.get("image_data", content.get("data")))
    if images is None or images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
        found = "nothing" if images is None else f"{images.dtype} {list(images.shape)}"
        raise DataError(f"{path}: image_data must be RGB images, uint8 [n, H, W, 3], but is {found}; get it again")
    if len(images) > _MOST:
        raise DataError(f"{path}: {len(images)} images are too many for a split of mini-ImageNet; get it again")
    if images.shape[1] * images.shape[2] > MOST_PIXELS:  # each is copied once
        size = f"{images.shape[2]} x {images.shape[1]}"
        raise DataError(f"{path}: {size} pixels are too many for an image of mini-ImageNet; get it again")
    return images


def _classes(path: Path, content: dict) -> Iterator[tuple[str, list[int]]]:
    """Yield each class and the numbers of its images."""
    if isinstance(content.get("class_dict"), dict):
        for name, numbers in content["class_dict"].items():
            yield str(name), _numbers(path, name, numbers)
    elif "labels" in content and isinstance(content.get("catname2label"), dict):
        labels = np.array(_numbers(path, "labels", content["labels"]))
        for name, label in content["catname2label"].items():
            if type(label) is not int:  # numpy would make an array of it, endless if its lists hold one another
                raise DataError(f"{path}: the label of {name} is not a whole number; get it again")
            yield str(name), np.flatnonzero(labels == label).tolist()
    else:
        raise DataError(f"{path}: has neither class_dict nor labels and catname2label, so no classes; get it again")


def _numbers(path: Path, name: Any, value: Any) -> list[int]:
    """Return whole numbers from a list, a tuple or an array."""
    array = _array(path, value)
    if array is not None and array.ndim == 1 and len(array) <= _MOST:
        value = array.tolist()
    if not isinstance(value, (list, tuple)) or not all(type(number) is int for number in value):
        raise DataError(f"{path}: {name} is not a list of whole numbers; get it again")
    return list(value)


def _array(path: Path, value: Any) -> np.ndarray | None:
    if not isinstance(value, Array):
        return None
    try:
        return value.read()
    except (Malformed, ValueError) as error:
        raise DataError(f"{path}: truncated or damaged ({error}); get it again") from error
