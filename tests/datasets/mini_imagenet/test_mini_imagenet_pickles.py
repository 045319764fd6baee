import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_photos import CLASSES, LAYOUT, ORDER, Photos, contents, make_photos, write_pickles

import tfmeta
from tfmeta.datasets.mini_imagenet import pickles
from tfmeta.datasets.mini_imagenet.layout import YAWL
from tfmeta.datasets.mini_imagenet.reader import locate, read_bank
from tfmeta.errors import DataError

PHOTOS = make_photos()
METAOPT = "miniImageNet_category_split_{}.pickle"


def read(data_dir, cache):
    return read_bank(locate(data_dir), cache, LAYOUT)


@pytest.fixture(scope="module")
def digest(tmp_path_factory):
    """The digest of the bank from the photos themselves."""
    folder = tmp_path_factory.mktemp("photos")
    return read(PHOTOS.write(folder / "data"), folder / "cache").digest


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_give_the_same_bank_as_photos(tmp_path, digest, protocol):
    write_pickles(tmp_path / "data" / "mini-imagenet", contents(PHOTOS), protocol)
    bank = read(tmp_path / "data", tmp_path / "cache")
    assert list(bank.names) == ORDER and bank.digest == digest
    assert all(bank.splits[ORDER.index(name)] == split for split, names in CLASSES.items() for name in names)


def test_the_other_form_gives_the_same_bank(tmp_path, digest):
    by_split = contents(PHOTOS, "labels")
    by_split["train_phase_train"] = by_split.pop("train")
    write_pickles(tmp_path / "data", by_split, 2, METAOPT)
    assert read(tmp_path / "data", tmp_path / "cache").digest == digest


@pytest.mark.parametrize("of", [np.array, tuple, lambda numbers: [np.int64(number) for number in numbers]])
def test_indices_may_be_arrays_or_tuples(tmp_path, digest, of):
    by_split = contents(PHOTOS)
    for content in by_split.values():
        content["class_dict"] = {name: of(numbers) for name, numbers in content["class_dict"].items()}
    write_pickles(tmp_path / "data", by_split)
    assert read(tmp_path / "data", tmp_path / "cache").digest == digest


def test_images_need_not_be_in_the_order_of_classes(tmp_path, digest):
    by_split = contents(PHOTOS)
    content = by_split["train"]
    content["image_data"] = content["image_data"][::-1]
    content["class_dict"] = {name: [11 - n for n in numbers] for name, numbers in content["class_dict"].items()}
    bank = read(write_pickles(tmp_path / "data", by_split), tmp_path / "cache")
    row = ORDER.index(YAWL)
    expected = contents(PHOTOS)["train"]
    images = expected["image_data"][expected["class_dict"][YAWL]]
    assert (bank.images[row] == images[::-1]).all()  # in the file's order: numbers have no names


def test_images_of_other_sizes_are_scaled(tmp_path):
    by_split = contents(PHOTOS)
    small = by_split["val"]["image_data"][:, ::2, ::2]
    by_split["val"]["image_data"] = small
    bank = read(write_pickles(tmp_path / "data", by_split), tmp_path / "cache")
    row = ORDER.index(CLASSES["val"][0])
    assert np.abs(bank.images[row, 0, ::2, ::2].astype(int) - small[0]).mean() < 8


def test_photos_have_priority_over_pickles(tmp_path, digest):
    write_pickles(tmp_path / "data", dict.fromkeys(("train", "val", "test"), b"damaged"))
    PHOTOS.write(tmp_path / "data")
    assert read(tmp_path / "data", tmp_path / "cache").digest == digest


def test_pickles_are_read_if_only_csv_files_lie_beside_them(tmp_path, digest):
    folder = write_pickles(tmp_path / "data", contents(PHOTOS))
    Photos({}, PHOTOS.rows).write(folder, "beside")
    assert sorted(path.suffix for path in folder.iterdir()) == [".csv"] * 3 + [".pkl"] * 3
    assert read(folder, tmp_path / "cache").digest == digest
    (folder / "mini-imagenet-cache-val.pkl").unlink()
    with pytest.raises(DataError, match=r"train\.csv: names \S+ \(and 11 more\), which is not in .*data"):
        read(folder, tmp_path / "cache")


def edit(split, **changes):
    def change(by_split):
        by_split[split] |= changes

    return change


def class_dict(split, **changes):
    def change(by_split):
        by_split[split]["class_dict"] |= changes

    return change


def drop(split, *names):
    def change(by_split):
        for name in names:
            del by_split[split][name]

    return change


def whole(split, content):
    def change(by_split):
        by_split[split] = content

    return change


class Evil:
    def __reduce__(self):
        return os.system, ("touch was-run",)


VAL = r"mini-imagenet-cache-val\.pkl"
TRAIN = r"mini-imagenet-cache-train\.pkl"
BAD = {
    "hostile": (class_dict("val", n01855672=[Evil()]), rf"{VAL}: refused, since .*names (posix|nt)\.system"),
    "a web page": (whole("val", b"<html>quota exceeded</html>"), rf"{VAL}: is a web page \(HTML\), not a pickle"),
    "cut off": (whole("val", pickle.dumps(contents(PHOTOS)["val"])[:5000]), rf"{VAL}: truncated or damaged"),
    "empty": (whole("val", b""), rf"{VAL}: is empty; get it again"),
    "a list": (whole("val", []), rf"{VAL}: holds no dict with image_data and class_dict"),
    "no images": (drop("val", "image_data"), rf"{VAL}: image_data must be RGB images, .* but is nothing"),
    "no classes": (drop("val", "class_dict"), rf"{VAL}: has neither class_dict nor labels and catname2label"),
    "labels without names": (
        lambda by_split: drop("val", "class_dict")(by_split) or edit("val", labels=[0] * 4)(by_split),
        rf"{VAL}: has neither class_dict nor labels",
    ),
    "floats": (edit("val", image_data=np.zeros((4, 84, 84, 3), np.float32)), rf"{VAL}: .* but is float32 \[4, 84"),
    "grey": (edit("val", image_data=np.zeros((4, 84, 84, 1), np.uint8)), rf"{VAL}: .* but is uint8 \[4, 84, 84, 1\]"),
    "flat": (edit("val", image_data=np.zeros((4, 84 * 84 * 3), np.uint8)), rf"{VAL}: .* but is uint8 \[4, 21168\]"),
    "no size": (edit("val", image_data=np.zeros((4, 84, 1, 3), np.uint8)[:, :, :0]), rf"{VAL}: "),
    "index too large": (class_dict("val", n01855672=[0, 1, 2, 4]), rf"{VAL}: the class n01855672 has image 4, of 4"),
    "negative index": (class_dict("val", n01855672=[0, 1, 2, -1]), rf"{VAL}: the class n01855672 has image -1"),
    "index twice": (class_dict("val", n01855672=[0, 1, 2, 2]), rf"{VAL}: image 2 is in n01855672 and again in n018"),
    "image of two classes": (class_dict("test", n01930112=[0, 1, 2, 7]), r"test\.pkl: image [07] is in \w+ and"),
    "indices that are none": (class_dict("val", n01855672=[0, 1, 2, 1.5]), rf"{VAL}: n01855672 is not a list of whole"),
    "indices in a dict": (class_dict("val", n01855672={0: 1}), rf"{VAL}: n01855672 is not a list of whole numbers"),
    "too few": (class_dict("val", n01855672=[0, 1, 2]), rf"{VAL}: the class n01855672 has 3 images instead of 4"),
    "too many images": (
        edit("val", image_data=np.zeros((100_001, 1, 1, 3), np.uint8)),
        rf"{VAL}: 100001 images are too many",
    ),
    "a class less": (lambda by_split: by_split["train"]["class_dict"].pop(YAWL), rf"{TRAIN}: 2 classes instead of 3"),
    "class in two splits": (
        whole("val", {"image_data": np.zeros((4, 84, 84, 3), np.uint8), "class_dict": {YAWL: [0, 1, 2, 3]}}),
        rf"{VAL}: the class {YAWL} is in .*{TRAIN} too",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_what_is_wrong_is_named_and_nothing_is_left(tmp_path, fault, monkeypatch):
    monkeypatch.chdir(tmp_path)
    change, message = BAD[fault]
    by_split = contents(PHOTOS)
    change(by_split)
    folder = write_pickles(tmp_path / "data", by_split)
    with pytest.raises(DataError, match=message):
        read(folder, tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()] == [".lock"]
    assert not (tmp_path / "was-run").exists()


def test_images_with_too_many_pixels_are_refused(tmp_path, monkeypatch):
    folder = write_pickles(tmp_path / "data", contents(PHOTOS))
    monkeypatch.setattr(pickles, "MOST_PIXELS", 84 * 84 - 1)
    with pytest.raises(DataError, match=r"train\.pkl: 84 x 84 pixels are too many"):
        read(folder, tmp_path / "cache")


@pytest.mark.parametrize("name", ["mini-imagenet-cache-val.pkl", "val.csv"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    pickled = name.endswith(".pkl")
    folder = write_pickles(tmp_path / "data", contents(PHOTOS)) if pickled else PHOTOS.write(tmp_path / "data")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(DataError, match=rf"{name}: is neither a file nor a folder"):
        read(folder, tmp_path / "cache")


ALL = np.arange(10_000)
NAMES = range(20_000)
BOMBS = {
    "one list for all classes": {"class_dict": dict.fromkeys((f"n{k}" for k in NAMES), ALL)},
    "one number for all classes": {"labels": np.zeros_like(ALL), "catname2label": {f"n{k}": 0 for k in NAMES}},
    "endless labels": {"labels": np.zeros(80_000_000, np.uint8), "catname2label": {"n1": 0}},
}


@pytest.mark.parametrize("kind", BOMBS)
def test_image_numbers_cannot_fill_the_memory(tmp_path, kind):
    """In a process that may take 300 MB more; as lists the numbers would take 0.6 to 1.6 GB."""
    content = {"image_data": np.zeros((len(ALL), 1, 1, 3), np.uint8), **BOMBS[kind]}
    (tmp_path / "file.pkl").write_bytes(pickle.dumps(content, 4))
    code = (
        "import resource, sys; from pathlib import Path; from tfmeta.datasets.mini_imagenet.pickles import read_split\n"
        "from tfmeta.errors import DataError\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + (300 << 20),) * 2)\n"
        "try: read_split(Path(sys.argv[1]))\n"
        "except DataError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file.pkl")], capture_output=True, text=True, timeout=120,
        cwd=Path(tfmeta.__file__).parents[1],
    )  # fmt: skip
    assert "file.pkl: " in done.stdout, done.stderr


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_missing_file_is_named(tmp_path, split):
    folder = write_pickles(tmp_path / "data", contents(PHOTOS))
    (folder / f"mini-imagenet-cache-{split}.pkl").unlink()
    with pytest.raises(DataError, match=rf"found, but the file of the {split} split is missing beside it"):
        read(folder, tmp_path / "cache")
