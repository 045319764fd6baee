import logging
import os
import resource
import shutil

import numpy as np
import pytest
from privileges import as_nobody, reachable_by_all
from small_photos import CLASSES, FORMS, LAYOUT, ORDER, Photos, decode, encode, make_photos, scene

from tfmeta.datasets.image_bank import digest_of
from tfmeta.datasets.mini_imagenet import reader
from tfmeta.datasets.mini_imagenet.layout import YAWL
from tfmeta.datasets.mini_imagenet.reader import locate, read_bank
from tfmeta.errors import DataError, StorageError


@pytest.fixture(scope="module")
def _photos():
    return make_photos()


@pytest.fixture
def photos(_photos):
    return Photos(dict(_photos.files), {split: list(rows) for split, rows in _photos.rows.items()})


def read(data_dir, cache, layout=LAYOUT):
    return read_bank(locate(data_dir), cache, layout)


def left(cache):
    """Return what is in the cache besides locks."""
    return [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["mini-imagenet", "."])
def test_every_form_gives_the_same_bank(photos, tmp_path, form, place, caplog):
    photos.write(tmp_path / "data" / place, form)
    bank = read(tmp_path / "data", tmp_path / "cache")
    assert bank.dataset == "mini-imagenet"
    assert bank.images.shape == (6, 4, 84, 84, 3) and isinstance(bank.images, np.memmap)
    assert list(bank.names) == ORDER  # by name, whatever the order of files and rows
    assert dict(zip(bank.names, bank.splits, strict=True)) == {
        name: split for split, names in CLASSES.items() for name in names
    }
    for row, name in enumerate(ORDER):
        files = sorted(file for file in photos.files if file.startswith(name))
        for example, file in enumerate(files):
            assert (bank.images[row, example] == decode(photos.files[file])).all()
    assert bank.digest == digest_of(bank.images, bank.names)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_other_files_and_other_columns_do_not_matter(photos, tmp_path):
    first = read(photos.write(tmp_path / "one"), tmp_path / "cache")
    photos.files |= {"n0000000000000001.jpg": b"not named by any csv", "README": b"", ".DS_Store": b""}
    folder = photos.write(tmp_path / "two", "class folders")
    path = folder / "train.csv"
    lines = path.read_text().splitlines()
    rows = ["\ufefflabel, filename,id", *(",".join([*line.split(",")[::-1], "7"]) for line in lines[1:])]
    path.write_text("\r\n".join(rows))  # as a spreadsheet would write it
    assert read(folder, tmp_path / "cache").digest == first.digest


@pytest.mark.parametrize("folder", ["images/", "/home/somebody/images/train/", "C:\\data\\images\\", "images\\"])
def test_paths_in_a_csv_are_those_of_another_machine(photos, tmp_path, folder):
    first = read(photos.write(tmp_path / "one"), tmp_path / "cache")
    photos.rows["train"] = [(folder + name, label) for name, label in photos.rows["train"]]
    second = photos.write(tmp_path / "two")
    path = second / "train.csv"
    path.write_text(path.read_text().replace("filename,label", "filename ,label "))
    assert read(second, tmp_path / "cache").digest == first.digest


def test_threads_may_share_a_class(photos, tmp_path, monkeypatch):
    folder = photos.write(tmp_path / "data")
    first = read(folder, tmp_path / "cache")
    monkeypatch.setattr(reader, "_CHUNK", 3)
    assert read(folder, tmp_path / "another").digest == first.digest


def test_a_cached_bank_is_not_decoded_again(photos, tmp_path):
    folder = photos.write(tmp_path / "data")
    first = read(folder, tmp_path / "cache")
    status = (folder / "images.zip").stat()
    (folder / "images.zip").write_bytes(bytes(status.st_size))
    os.utime(folder / "images.zip", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read(folder, tmp_path / "cache").digest == first.digest
    (folder / "test.csv").touch()  # any of the files that it comes from
    with pytest.raises(DataError, match=r"images\.zip"):
        read(folder, tmp_path / "cache")


def test_a_cache_or_results_among_the_photos_do_not_count_as_photos(photos, tmp_path):
    """Otherwise each start would decode all photos again, and leave another bank of 1.27 GB."""
    folder = photos.write(tmp_path / "data", "beside")
    for name in ("cells.json", "log.txt"):
        read(folder, folder / "cache")
        (folder / name).write_text("{}")
    assert len(list((folder / "cache" / "banks").glob("*.npy"))) == 1
    (folder / A_FILE).touch()
    read(folder, folder / "cache")
    assert len(list((folder / "cache" / "banks").glob("*.npy"))) == 2


@pytest.mark.parametrize(("height", "width"), [(375, 500), (84, 90), (50, 60)])
def test_images_of_other_sizes_are_scaled_to_the_square(photos, tmp_path, height, width):
    """A smooth image scaled by Lanczos is nearly the same as one scaled in another way: whole and upright."""
    name = f"{YAWL}00000005.jpg"
    photos.files[name] = encode(scene(7, height, width), quality=95)
    bank = read(photos.write(tmp_path / "data"), tmp_path / "cache")
    image = bank.images[ORDER.index(YAWL), 0]
    assert np.abs(image.astype(int) - scene(7).astype(int)).mean() < 4
    assert np.abs(image[:, ::-1].astype(int) - scene(7).astype(int)).mean() > 20


A_FILE = f"{YAWL}00000006.jpg"


def changed(name, data):
    def change(release):
        release.files[name] = data

    return change


def without(*names):
    def change(release):
        for name in names:
            del release.files[name]

    return change


def rows(split, edit):
    def change(release):
        release.rows[split] = edit(release.rows[split])

    return change


BAD = {
    "missing image": (without(A_FILE), rf"train\.csv: names {A_FILE}, which is not in .*images"),
    "missing images": (without(A_FILE, f"{YAWL}00000005.jpg"), r"train\.csv: names \S+ \(and 1 more\), which is"),
    "too few in a class": (rows("train", lambda r: r[1:]), rf"train\.csv: the class {YAWL} has 3 images instead"),
    "too many in a class": (
        rows("val", lambda r: [*r, ("more.jpg", "n01855672")]),
        r"val\.csv: the class n01855672 has 5 images instead of 4",
    ),
    "a class less": (rows("test", lambda r: r[4:]), r"test\.csv: 1 classes instead of 2"),
    "no class": (rows("test", lambda r: []), r"test\.csv: 0 classes instead of 2"),
    "class in two splits": (
        rows("val", lambda r: [(f"x{k}.jpg", YAWL) for k in range(4)]),
        rf"val\.csv: the class {YAWL} is in .*train\.csv too",
    ),
    "image twice": (
        rows("train", lambda r: [r[1], *r[1:]]),
        rf"train\.csv, line 3: {YAWL}00000007\.jpg is named twice \(first in train\.csv, line 2\)",
    ),
    "image in two splits": (
        rows("test", lambda r: [(A_FILE, r[0][1]), *r[1:]]),
        rf"test\.csv, line 2: {A_FILE} is named twice \(first in train\.csv, line 4\)",
    ),
    "row without a label": (rows("val", lambda r: [(r[0][0], ""), *r[1:]]), r"val\.csv, line 2: needs a file name"),
    "empty image": (changed(A_FILE, b""), rf"{A_FILE}: does not decode"),
    "web page for a image": (changed(A_FILE, b"<html>404</html>"), rf"{A_FILE}: does not decode"),
    "half a image": (changed(A_FILE, encode(scene(1))[:900]), rf"{A_FILE}: does not decode"),
    "another format": (changed(A_FILE, encode(scene(1), "GIF")), rf"{A_FILE}: .*since it is neither JPEG nor PNG;"),
    "grey image": (changed(A_FILE, encode(scene(1), mode="L")), rf"{A_FILE}: is not an RGB image \(its mode is L"),
    "CMYK image": (changed(A_FILE, encode(scene(1), mode="CMYK")), rf"{A_FILE}: is not an RGB image .*CMYK"),
    "transparent image": (changed(A_FILE, encode(scene(1), "PNG", "RGBA")), rf"{A_FILE}: is not an RGB .*RGBA"),
    "endless image": (changed(A_FILE, bytes((16 << 20) + 1)), rf"{A_FILE}: 16777217 bytes are too many"),
    "image that unpacks to gigabytes": (
        changed(A_FILE, encode(np.zeros((9000, 9000, 3), np.uint8), "PNG")),
        rf"{A_FILE}: 9000 x 9000 pixels are too many",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", BAD)
def test_what_is_wrong_is_named_and_nothing_is_left(photos, tmp_path, change):
    damage, message = BAD[change]
    damage(photos)
    folder = photos.write(tmp_path / "data")
    with pytest.raises(DataError, match=message):
        read(folder, tmp_path / "cache")
    assert left(tmp_path / "cache") == []


def test_a_duplicate_image_is_named(photos, tmp_path):
    folder = photos.write(tmp_path / "data", "folder")
    (folder / "images" / "copy").mkdir()
    shutil.copy(folder / "images" / A_FILE, folder / "images" / "copy" / A_FILE)
    with pytest.raises(DataError, match=rf"images/\S*{A_FILE}: a duplicate, since \S*{A_FILE} is there too"):
        read(folder, tmp_path / "cache")
    assert left(tmp_path / "cache") == []


CSV = {
    "is missing": (None, r"val\.csv: cannot be read \(No such file"),
    "a web page": (b"<!doctype html><html>", r"val\.csv: is a web page"),
    "empty": (b"", r"val\.csv: its first line must name the columns filename and label"),
    "no header": (b"n0185567200000003.jpg,n01855672\n", r"val\.csv: its first line must name"),
    "not text": (b"filename,label\n\xff\xfe\x00", r"val\.csv: is not text"),
    "too large": (b"filename,label\n" + b"a,b\n" * (5 << 20), r"val\.csv: cannot be read \(has \d+ bytes"),
    "a field without end": (b"filename,label\n" + b"a" * 200_000 + b",b\n", r"val\.csv, line \d: is not csv"),
}


@pytest.mark.parametrize("fault", CSV)
def test_an_invalid_csv_is_named(photos, tmp_path, fault):
    content, message = CSV[fault]
    folder = photos.write(tmp_path / "data")
    if content is None:
        (folder / "val.csv").unlink()
    else:
        (folder / "val.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(folder, tmp_path / "cache")
    assert left(tmp_path / "cache") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"<html>", r"images\.zip: is a web page"), (b"PK\x03\x04" + bytes(99), r"images\.zip: truncated or damaged")],
)
def test_an_invalid_zip_is_named(photos, tmp_path, content, message):
    folder = photos.write(tmp_path / "data")
    (folder / "images.zip").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(folder, tmp_path / "cache")


def test_csv_files_without_images_are_named(photos, tmp_path):
    photos.files = {}
    folder = photos.write(tmp_path / "data")
    (folder / "images.zip").unlink()
    with pytest.raises(DataError, match=r"train\.csv: names \S+ \(and 11 more\), which is not in .*data"):
        read(folder, tmp_path / "cache")


def test_a_full_disk_is_found_before_anything_is_decoded(photos, tmp_path):
    folder = photos.write(tmp_path / "data")
    photos.files[A_FILE] = b"would be found while decoding"
    photos.write(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))  # the bank has 508,032 bytes
    try:
        with pytest.raises(StorageError, match=r"banks/mini-imagenet-\w+\.npy could not be written: .*Make room"):
            read(folder, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert left(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written_to_is_named(photos, tmp_path):
    reachable_by_all(tmp_path)
    folder = photos.write(tmp_path / "data")
    (tmp_path / "cache").mkdir(mode=0o555)
    with as_nobody(), pytest.raises(StorageError, match=r"cache/banks: the cache cannot be written to .*TFMETA_CACHE"):
        read(folder, tmp_path / "cache")


def test_nothing_is_found_in_folders_without_it(tmp_path):
    (tmp_path / "mini-imagenet").mkdir()
    (tmp_path / "images.zip").write_bytes(b"PK")  # anybody's
    assert locate(tmp_path) is None
    with pytest.raises(DataError, match="typo: this data folder does not exist"):
        locate(tmp_path / "typo")
    (tmp_path / "mini-imagenet" / "images.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"mini-imagenet/train\.csv: cannot be read|images\.zip"):
        read(tmp_path, tmp_path / "cache")


def test_a_folder_without_permission_to_read_it_is_named(photos, tmp_path):
    reachable_by_all(tmp_path)
    folder = photos.write(tmp_path / "data" / "mini-imagenet")
    folder.chmod(0)
    try:
        with as_nobody(), pytest.raises(DataError, match=r"mini-imagenet\S*: cannot be read \(Permission denied\)"):
            locate(tmp_path / "data")
    finally:
        folder.chmod(0o755)
