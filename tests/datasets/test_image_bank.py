import hashlib

import numpy as np
import pytest

from tfmeta.datasets.image_bank import ImageBank, digest_of
from tfmeta.errors import DataError

IMAGES = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4, 1)


def make(images=IMAGES, names=("a", "b"), splits=("background", "evaluation"), counts=None):
    return ImageBank("omniglot", images, names, "0" * 64, "made here", splits, counts)


def test_a_bank_cannot_be_changed():
    bank = make()
    with pytest.raises(AttributeError):
        bank.names = ("x", "y")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": IMAGES.astype(np.float32)}, "float32"),
        ({"images": IMAGES[..., 0]}, r"\[2, 3, 4, 4\]"),
        ({"names": ("a", "b", "c")}, "2 classes, 3 names"),
        ({"splits": ("background",)}, "1 splits"),
        ({"names": ("a", "a")}, "two classes are named a"),
        ({"images": IMAGES.tolist()}, "must be uint8 .*, not list"),
        ({"images": IMAGES[:0]}, r"not uint8 \[0, 3, 4, 4, 1\]"),
        ({"counts": (1,)}, "counts must be 2 numbers from 1 to 3"),
        ({"counts": (0, 3)}, "counts must be 2 numbers from 1 to 3"),
        ({"counts": (4, 3)}, "counts must be 2 numbers from 1 to 3"),
    ],
)
def test_parts_that_do_not_fit_are_an_error(change, message):
    with pytest.raises(DataError, match=message):
        make(**change)


def test_the_digest_depends_on_images_names_and_shape_alone():
    digest = digest_of(IMAGES, ["a", "b"])
    head = b'{"names": ["a", "b"], "shape": [2, 3, 4, 4, 1]}'
    assert digest == hashlib.sha256(head + IMAGES.tobytes()).hexdigest()
    other = IMAGES.copy()
    other[1, 2, 3, 3] ^= 1
    assert digest_of(other, ["a", "b"]) != digest
    assert digest_of(IMAGES, ["a", "c"]) != digest
    assert digest_of(IMAGES.reshape(2, 3, 2, 8, 1), ["a", "b"]) != digest
    strided = np.asfortranarray(IMAGES)
    assert digest_of(strided, ["a", "b"]) == digest


def test_images_and_names_are_enough():
    bank = ImageBank("omniglot", IMAGES, ["a", "b"])
    assert bank.names == ("a", "b") and bank.splits == ("", "")
    assert bank.digest == digest_of(IMAGES, ["a", "b"])
    assert bank.examples.tolist() == [3, 3]


def test_counts_say_how_many_images_a_class_has_and_are_part_of_the_digest():
    bank = ImageBank("omniglot", IMAGES, ("a", "b"), counts=(3, 2))
    assert bank.examples.tolist() == [3, 2] and bank.examples.dtype == np.int32
    assert bank.digest == digest_of(IMAGES, ["a", "b"], (3, 2)) != digest_of(IMAGES, ["a", "b"])
