"""A data set from a folder with one folder of images per class."""

import os
import struct
import unicodedata
import zlib

import numpy as np
import pytest
from image_folders import drawn, opened, pixels, write
from PIL import Image
from privileges import as_nobody, reachable_by_all

from tfmeta.datasets import open_dataset
from tfmeta.datasets.image_folder import reader
from tfmeta.errors import ConfigError, DataError


def test_a_folder_becomes_a_bank(tmp_path):
    folder = drawn(tmp_path / "photos", 3, 2)
    for _ in range(2):  # decoded, then from the cache
        bank = opened(folder, tmp_path)
        assert bank.dataset == "image-folder" and bank.names == ("class0", "class1", "class2")
        assert bank.images.shape == (3, 4, 6, 6, 1) and bank.images.dtype == np.uint8
        assert bank.counts == (2, 3, 4) and bank.source == f"images from {folder}"
        for row in range(3):
            for number in range(2 + row):
                assert (bank.images[row, number, :, :, 0] == pixels(100 * row + number)).all()
            assert not bank.images[row, 2 + row :].any()


def test_classes_of_one_size_need_no_counts(tmp_path):
    files = {f"{name}/{number}.png": pixels(number) for name in "ab" for number in range(3)}
    assert opened(write(tmp_path / "photos", files), tmp_path).counts is None


def test_the_cache_follows_the_files_and_the_options_of_reading(tmp_path):
    folder = drawn(tmp_path / "photos", 2, 2)
    digests = [opened(folder, tmp_path, **given).digest for given in ({}, {"invert": True}, {"resize": 3})]
    write(folder, {"class0/9.png": pixels(9)})
    digests.append(opened(folder, tmp_path).digest)
    write(folder, {"class0/9.png": pixels(10)})
    os.utime(folder / "class0/9.png", (1, 1))
    digests.append(opened(folder, tmp_path).digest)
    assert len(set(digests)) == 5
    assert opened(folder, tmp_path, backdoor="class1", attacker_share=0.5).digest == digests[-1]
    assert len(list((tmp_path / "cache/banks").glob("*.npy"))) == 5


def test_ink_can_be_made_bright(tmp_path):
    folder = write(tmp_path / "photos", {"a/1.png": pixels(1), "b/1.png": pixels(2)})
    assert (opened(folder, tmp_path, invert=True).images[0, 0, :, :, 0] == 255 - pixels(1)).all()


def test_colour_stays_unless_grey_is_asked_for(tmp_path):
    colour = pixels(1, channels=3)
    folder = write(tmp_path / "photos", {"a/1.png": colour, "b/1.png": pixels(2, channels=3)})
    assert (opened(folder, tmp_path).images[0, 0] == colour).all()
    grey = opened(folder, tmp_path, grey=True)
    assert grey.images.shape == (2, 1, 6, 6, 1)
    assert (grey.images[0, 0, :, :, 0] == np.asarray(Image.fromarray(colour).convert("L"))).all()


def test_images_of_any_size_are_scaled(tmp_path):
    folder = write(tmp_path / "photos", {"a/1.png": pixels(1, 9, 5), "b/1.png": pixels(2, 4, 4)})
    bank = opened(folder, tmp_path, resize=4)
    assert bank.images.shape == (2, 1, 4, 4, 1) and (bank.images[1, 0, :, :, 0] == pixels(2, 4, 4)).all()
    scaled = Image.fromarray(pixels(1, 9, 5)).resize((4, 4), Image.Resampling.LANCZOS)
    assert (bank.images[0, 0, :, :, 0] == np.asarray(scaled)).all()


def test_images_need_not_be_square(tmp_path):
    folder = write(tmp_path / "photos", {"a/1.png": pixels(1, 4, 7), "b/1.png": pixels(2, 4, 7)})
    assert opened(folder, tmp_path).images.shape == (2, 1, 4, 7, 1)


@pytest.mark.parametrize("suffix", ["png", "PNG", "bmp", "gif", "tif", "webp", "pgm", "jpg"])
def test_every_format_is_read(tmp_path, suffix):
    flat = np.full((8, 8), 70, np.uint8)
    flat[:, :] = np.arange(8, dtype=np.uint8) * 30
    folder = write(tmp_path / "photos", {f"a/1.{suffix}": flat, f"b/1.{suffix}": flat})
    bank = opened(folder, tmp_path, grey=True)
    assert np.abs(bank.images[0, 0, :, :, 0].astype(int) - flat).max() < 12


def test_what_is_transparent_is_white_and_a_palette_is_colour(tmp_path):
    (tmp_path / "photos/a").mkdir(parents=True)
    (tmp_path / "photos/b").mkdir()
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[0, 0] = (10, 20, 30, 255)
    Image.fromarray(clear).save(tmp_path / "photos/a/1.png")
    palette = Image.fromarray(np.full((4, 4, 3), (10, 20, 30), np.uint8)).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "photos/b/1.png")
    images = opened(tmp_path / "photos", tmp_path).images
    assert images[0, 0, 0, 0].tolist() == [10, 20, 30] and (images[0, 0, 1:] == 255).all()
    assert (images[1, 0] == (10, 20, 30)).all()


def test_hidden_and_other_files_are_left_out(tmp_path, caplog):
    caplog.set_level("INFO")
    folder = drawn(tmp_path / "photos", 2, 2)
    write(folder, {".hidden/1.png": b"x", "class0/.1.png": b"x", "class0/notes.txt": b"x", "readme.md": b"x"})
    assert opened(folder, tmp_path).counts == (2, 3)
    assert any("1 files are no images" in message and "notes.txt" in message for message in caplog.messages)


def test_a_class_may_be_a_link_to_a_folder(tmp_path):
    folder = drawn(tmp_path / "photos", 2, 2)
    (folder / "class2").symlink_to(folder / "class0")
    assert opened(folder, tmp_path).names == ("class0", "class1", "class2")


def test_a_path_from_the_home_folder_is_understood(tmp_path, monkeypatch):
    drawn(tmp_path / "photos", 2, 2)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert opened("~/photos", tmp_path).names == ("class0", "class1")
    with pytest.raises(ConfigError, match="~nobody-of-that-name/x: there is no such home folder"):
        opened("~nobody-of-that-name/x", tmp_path)


def bomb(side):
    """Return a PNG of a few bytes that claims to have side x side pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


WHOLE = {"a/1.png": pixels(1), "b/1.png": pixels(2)}
BAD = {
    "no images": ({"a/1.txt": b"x"}, {}, r"a: this class has no images \(\.png, .*add some or remove the folder"),
    "no classes": ({"1.png": pixels(1)}, {}, "has no folders in it; put the images of each class into a folder"),
    "too deep": ({"a/b/1.png": pixels(1)}, {}, r"a/b/1\.png: is too deep"),
    "sizes": ({"b/2.png": pixels(3, 6, 7)}, {}, r"b/2\.png: has 7 x 6 pixels, but .*a/1\.png has 6 x 6; .*resize"),
    "kinds": ({"b/2.png": pixels(3, channels=3)}, {}, r"b/2\.png: is colour, but .*a/1\.png is grey; .*grey=true"),
    "text": ({"b/2.png": b"no image"}, {}, r"b/2\.png: does not decode, since it is neither PNG nor JPEG"),
    "page": ({"b/2.png": b"<html>quota</html>"}, {}, r"b/2\.png: does not decode"),
    "first": ({"a/0.png": b"no image"}, {}, r"a/0\.png: does not decode"),
    "16 bits": ({"b/2.png": pixels(3).astype(np.uint16) * 257}, {}, r"b/2\.png: has pixels that are not 8 bits"),
    "bomb": ({"b/2.png": bomb(9000)}, {}, r"b/2\.png: 9000 x 9000 pixels are too many"),
    "larger bomb": ({"b/2.png": bomb(60_000)}, {}, r"b/2\.png: does not decode"),
    "large file": ({"b/2.png": bytes((16 << 20) + 1)}, {}, r"b/2\.png: 16777217 bytes are too many"),
    "postscript": ({"b/2.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 6\n"}, {}, r"b/2\.png: does not decode"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", BAD)
def test_a_folder_that_cannot_be_read_is_named(tmp_path, kind):
    more, options, message = BAD[kind]
    folder = write(tmp_path / "photos", more if kind in ("no images", "no classes") else {**WHOLE, **more})
    with pytest.raises(DataError, match=message):
        opened(folder, tmp_path, **options)
    assert not list(tmp_path.glob("cache/banks/*.npy"))


def test_a_truncated_image_is_named(tmp_path):
    folder = write(tmp_path / "photos", {"a/1.png": pixels(1, 40, 40), "b/1.png": pixels(2, 40, 40)})
    whole = (folder / "b/1.png").read_bytes()
    (folder / "b/1.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"b/1\.png: does not decode"):
        opened(folder, tmp_path)


def test_one_name_in_two_spellings_is_named(tmp_path):
    names = [unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD")]
    folder = write(tmp_path / "photos", {f"{name}/1.png": pixels(1) for name in names})
    with pytest.raises(DataError, match=r"its class has the name of .*, though it is spelled otherwise; rename one"):
        opened(folder, tmp_path)


@pytest.mark.parametrize(("bound", "what"), [("MOST_CLASSES", "folders"), ("MOST_IMAGES", "images")])
def test_a_folder_with_too_much_in_it_is_refused(tmp_path, monkeypatch, bound, what):
    folder = write(tmp_path / "photos", {f"{name}/1.png": pixels(1) for name in "abc"})
    monkeypatch.setattr(reader, bound, 3)
    assert len(opened(folder, tmp_path).names) == 3
    monkeypatch.setattr(reader, bound, 2)
    with pytest.raises(DataError, match=rf"photos: has more than 2 {what}"):
        opened(folder, tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"data.folder = .*typo: there is no such folder"):
        opened(tmp_path / "typo", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"data.folder = .*file: is a file"):
        opened(tmp_path / "file", tmp_path)
    with pytest.raises(ConfigError, match=r"image-folder needs data.folder"):
        open_dataset("image-folder", tmp_path, tmp_path / "cache")


def test_a_class_that_may_not_be_read_is_named(tmp_path):
    folder = drawn(tmp_path / "photos", 2, 2)
    reachable_by_all(tmp_path)
    (folder / "class1").chmod(0)
    with as_nobody(), pytest.raises(DataError, match=r"class1: cannot be read .*permissions"):
        opened(folder, tmp_path)


@pytest.mark.parametrize("inside", [None, "notes.txt"])
def test_a_folder_with_the_name_of_an_image_is_named(inside, tmp_path):
    folder = write(tmp_path / "photos", {"a/1.png": pixels(1), "b/1.png": pixels(2)})
    (folder / "b/0.png").mkdir()
    if inside:
        (folder / "b/0.png" / inside).write_text("")
    with pytest.raises(DataError, match=r"b/0\.png: is a folder with the name of an image; rename or remove it"):
        opened(folder, tmp_path)
