"""A data set from a folder with one folder of images per class."""

import os
import struct
import unicodedata
import zlib

import numpy as np
import pytest
from PIL import Image
from privileges import as_nobody, reachable_by_all

from tfmeta import registry
from tfmeta.config import make_config
from tfmeta.datasets import open_dataset
from tfmeta.datasets.image_folder import ImageFolder
from tfmeta.datasets.partition import make_partition
from tfmeta.errors import ConfigError, DataError


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


def test_the_options_divide_the_classes(tmp_path):
    folder = drawn(tmp_path / "photos")
    given = dict(folder=str(folder), backdoor="class9, class2", target="class5", rotations=True, meta_test_share=0.3)
    config = make_config("image-folder", "smoke", **{f"data.{name}": value for name, value in given.items()})
    dataset = registry.build("datasets", config, "image-folder")
    assert dataset == ImageFolder(**given)
    bank = open_dataset(dataset, tmp_path, tmp_path / "cache")
    split = make_partition(bank, dataset, 0, 3, 1)
    assert [bank.names[row] for row in split.backdoor_attacker.classes] == ["class9", "class2"]
    assert [bank.names[row] for row in split.target_attacker.classes] == ["class5"]
    assert len(split.meta_test.classes) == 2
    assert [len(own.classes) for own in split.train.values()] == [8, 8, 4]


def test_options_that_do_not_fit_are_named(tmp_path):
    folder = write(tmp_path / "wide", {f"c{row}/{n}.png": pixels(row, 4, 7) for row in range(9) for n in range(5)})
    bank = opened(folder, tmp_path)
    for options, message in (
        (dict(rotations=True), "data.rotations needs square images, and those of .* have 4 x 7 pixels"),
        (dict(backdoor="c1,c2", backdoor_classes=3), "data.backdoor names 2 classes, and data.backdoor_classes = 3"),
        (dict(target="c88"), "image-folder has no class 'c88'; did you mean c8"),
        (dict(backdoor="c1,c1"), "the class c1 is reserved twice"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_partition(bank, ImageFolder(folder=str(folder), **options), 0, 4, 1)
    bad = (("resize", -1), ("resize", 2.5), ("validation_share", 0.0), ("attacker_share", 1.5), ("meta_test_share", 1))
    for option, value in bad:
        with pytest.raises(ConfigError, match=f"data.{option} = .*give a"):
            ImageFolder(folder=str(folder), **{option: value})


def test_a_class_that_is_too_small_is_named(tmp_path):
    folder = write(drawn(tmp_path / "photos"), {"small/1.png": pixels(1)})
    with pytest.raises(DataError, match=r"image-folder: the class small has 1 image, and needs [23]: one "):
        make_partition(opened(folder, tmp_path), ImageFolder(folder=str(folder)), 0, 4, 1)


@pytest.mark.slow
def test_twelve_classes_of_small_images_become_a_table(tmp_path):
    from tfmeta import Simulation

    folder = drawn(tmp_path / "photos", 12, 20, height=28, width=28)
    given = dict(runtime="inprocess", ways=2, data_backdoor="class3", data_target="class4")
    with Simulation(
        ImageFolder(folder=str(folder)), "smoke", results=tmp_path / "results", cache_dir=tmp_path / "cache", **given
    ) as sim:
        assert sim.bank.dataset == "image-folder" and sim.config["data.folder"] == str(folder)
        found = sim.measure(sim.weights("attacked"), user=2)
        assert set(found.metric) == {"main", "backdoor_train", "backdoor_validation"}
        assert found.accuracy.between(0, 1).all()
    named = Simulation(
        "image-folder", "smoke", results=tmp_path / "results", cache_dir=tmp_path / "cache", folder=str(folder), **given
    )
    assert named.partition.digest == sim.partition.digest
    assert named.measure(named.weights("attacked"), user=2).equals(found)


@pytest.mark.slow
def test_reserved_classes_may_have_more_images_than_all_others(tmp_path):
    from tfmeta import Simulation

    folder = drawn(tmp_path / "photos", 12, 16, height=28, width=28)
    write(folder, {f"{name}/{number}.png": pixels(number, 28, 28) for name in ("b", "t") for number in range(80)})
    given = dict(folder=str(folder), backdoor="b", target="t", runtime="inprocess", ways=2)
    sim = Simulation("image-folder", "smoke", results=tmp_path / "results", cache_dir=tmp_path / "cache", **given)
    paths, counts = sim.client_data.benign(2, knows_backdoor=True)
    assert counts[-2:].tolist() == [40, 40] and sim.client_data.capacity == 40
    assert all(os.path.getsize(path) % (40 * 28 * 28) == 0 for path in paths)  # noqa: PTH202


def test_a_trigger_that_does_not_fit_is_refused_before_anything_is_trained(tmp_path):
    from tfmeta import Simulation

    folder = drawn(tmp_path / "photos", 12, 24)
    given = dict(results=tmp_path / "results", cache_dir=tmp_path / "cache", folder=str(folder), ways=2)
    with pytest.raises(ConfigError, match=r"trigger.size = 6 .* do not fit into images of 6x6 pixels"):
        Simulation("image-folder", "smoke", trigger_size=6, **given)


def test_several_attackers_and_users_divide_a_folder(tmp_path):
    from tfmeta import Simulation

    folder = drawn(tmp_path / "photos", 16, 24, height=16, width=16)
    given = dict(results=tmp_path / "results", cache_dir=tmp_path / "cache", folder=str(folder), ways=2)
    sim = Simulation("image-folder", "smoke", federation_users=5, attackers=2, clients_per_round=3, **given)
    assert sim.partition.users == (1, 2, 3, 4, 5) and sim.partition.attackers == (1, 2)
    share = r"smaller data.meta_test_share \(now 0.25\), or add classes: users need 16 to train on"
    with pytest.raises(ConfigError, match=rf"ways = 2: .* or fewer users \(federation.users = 8\), or a {share}"):
        Simulation("image-folder", "smoke", federation_users=8, **given)
    with pytest.raises(ConfigError, match=r"has 1 classes, for meta-test; .*larger data.meta_test_share \(now 0.1\)"):
        Simulation("image-folder", "smoke", data_meta_test_share=0.1, **given)


@pytest.mark.parametrize("inside", [None, "notes.txt"])
def test_a_folder_with_the_name_of_an_image_is_named(inside, tmp_path):
    folder = write(tmp_path / "photos", {"a/1.png": pixels(1), "b/1.png": pixels(2)})
    (folder / "b/0.png").mkdir()
    if inside:
        (folder / "b/0.png" / inside).write_text("")
    with pytest.raises(DataError, match=r"b/0\.png: is a folder with the name of an image; rename or remove it"):
        opened(folder, tmp_path)
