"""Extra yawls, from a folder of the full ImageNet (ledger 15)."""

import io

import numpy as np
import pytest
from PIL import Image
from small_photos import LAYOUT, ORDER, decode, encode, make_photos, scene

from tfmeta.datasets.archives import Archive
from tfmeta.datasets.mini_imagenet import photos
from tfmeta.datasets.mini_imagenet.extra import NAME, read_extra
from tfmeta.datasets.mini_imagenet.layout import ARCTIC_FOX, YAWL
from tfmeta.datasets.mini_imagenet.reader import locate, read_bank
from tfmeta.errors import DataError

PHOTOS = make_photos()


@pytest.fixture
def data(tmp_path):
    """A release and an empty folder for extra yawls."""
    folder = PHOTOS.write(tmp_path / "data" / "mini-imagenet", "beside")
    (folder / "extra" / YAWL).mkdir(parents=True)
    return folder


def put(folder, *images, first=0):
    for number, image in enumerate(images, first):
        (folder / "extra" / YAWL / f"{YAWL}_{number:05d}.JPEG").write_bytes(image)


def read(folder, tmp_path, extra=3):
    return read_bank(locate(folder.parent), tmp_path / "cache", LAYOUT, extra)


def large(seed):
    return encode(scene(seed, 300, 400), quality=90)


def test_extra_images_become_a_class_of_their_own(data, tmp_path):
    put(data, *map(large, (101, 102, 103, 104)))
    bank = read(data, tmp_path)
    assert list(bank.names) == [*ORDER, NAME] and bank.splits[-1] == "extra"
    assert bank.images.shape == (7, 4, 84, 84, 3)
    for example, seed in enumerate((101, 102, 103)):  # the first three by name
        assert np.abs(bank.images[-1, example].astype(int) - scene(seed).astype(int)).mean() < 4
    assert not bank.images[-1, 3].any()
    assert "with 3 extra yawls" in bank.source


def test_extra_images_change_the_digest_but_no_other_class(data, tmp_path):
    with_none = read_bank(locate(PHOTOS.write(tmp_path / "plain").resolve()), tmp_path / "cache", LAYOUT)
    put(data, *map(large, (101, 102, 103)))
    bank = read(data, tmp_path)
    assert (bank.images[:-1] == with_none.images).all() and bank.names[:-1] == with_none.names
    assert bank.digest != with_none.digest
    put(data, large(105))
    assert read(data, tmp_path).digest != bank.digest  # the folder's content is part of the cache's key


def again(image, size, quality, resample):
    """Return the same photo, larger and encoded again, as it may be in the full ImageNet."""
    file = io.BytesIO()
    Image.fromarray(image).resize(size, resample).save(file, "JPEG", quality=quality)
    return file.getvalue()


def test_images_that_the_class_already_has_are_left_out(data, tmp_path):
    """Otherwise they would be benign and the attacker's at once."""
    name = f"{YAWL}00000006.jpg"
    same = again(decode(PHOTOS.files[name]), (500, 375), 70, Image.Resampling.BICUBIC)
    put(data, same, PHOTOS.files[name], large(101), large(101), large(102), large(103))
    bank = read(data, tmp_path)
    for example, seed in enumerate((101, 102, 103)):
        assert np.abs(bank.images[-1, example].astype(int) - scene(seed).astype(int)).mean() < 4


def test_images_that_are_not_rgb_are_left_out(data, tmp_path):
    put(data, encode(scene(1), mode="L"), encode(scene(2), mode="CMYK"), *map(large, (101, 102, 103)))
    (data / "extra" / YAWL / "readme.txt").write_text("")
    assert not read(data, tmp_path).images[-1, 3].any()


@pytest.mark.parametrize("images", [[], [large(101), large(102), encode(scene(3), mode="L")]])
def test_too_few_extra_images_are_an_error(data, tmp_path, images):
    put(data, *images)
    usable = min(len(images), 2)
    with pytest.raises(
        DataError, match=rf"extra/{YAWL}: {usable} of its {len(images)} images can be used and 3 are"
    ):
        read(data, tmp_path)
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_an_extra_image_that_does_not_decode_is_named(data, tmp_path):
    put(data, large(101), large(102)[:3000], large(103))
    with pytest.raises(DataError, match=rf"{YAWL}_00001\.JPEG: does not decode"):
        read(data, tmp_path)


@pytest.mark.slow
@pytest.mark.needs_data
def test_no_two_real_yawls_count_as_the_same(mini_imagenet_bank, tmp_path):
    """But each counts as the same as itself encoded again from another size."""
    yawls = mini_imagenet_bank.images[mini_imagenet_bank.names.index(YAWL)]
    foxes = mini_imagenet_bank.images[mini_imagenet_bank.names.index(ARCTIC_FOX)]
    folder = tmp_path / "yawls"
    folder.mkdir()
    for number in range(0, 600, 6):
        data = again(yawls[number], (250, 190), 60, Image.Resampling.BICUBIC)
        (folder / f"{number:03d}.JPEG").write_bytes(data)
    with pytest.raises(DataError, match=r"0 of its 100 images can be used"):
        read_extra(folder, yawls, 100)
    assert read_extra(folder, np.delete(yawls, np.s_[::6], 0), 100).shape == (100, 84, 84, 3)
    assert read_extra(folder, foxes, 100).shape == (100, 84, 84, 3)


def test_an_image_of_any_shape_fills_the_square(tmp_path):
    (tmp_path / "wide.jpg").write_bytes(large(5))
    with Archive(tmp_path) as archive:
        assert photos.read(archive, "wide.jpg", 84).shape == (84, 84, 3)
