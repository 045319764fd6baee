import dataclasses
import io
import itertools
import logging
import os
import shutil
import time
import zipfile
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from neighbour import nearest_neighbour
from PIL import Image
from small_release import image, ink

from tfmeta.datasets import open_dataset
from tfmeta.datasets.image_bank import digest_of
from tfmeta.datasets.omniglot.layout import BACKGROUND, EVALUATION, PARTS
from tfmeta.datasets.omniglot.reader import read_bank, shrink
from tfmeta.datasets.omniglot.release import locate
from tfmeta.errors import DataError

A_FILE = "images_background/Beta_(old)/character01/0003_07.png"


def read(release, folder, cache):
    return read_bank(locate(folder, release.parts), cache, release.parts)


@pytest.mark.parametrize("form", ["zips", "folders", "mixed"])
@pytest.mark.parametrize("place", [".", "omniglot", "python"])
def test_every_form_gives_the_same_bank(release, tmp_path, form, place, caplog):
    folder = tmp_path / "data" / place
    (release.write_folders if form == "folders" else release.write_zips)(folder)
    if form == "mixed":
        (folder / "images_evaluation.zip").unlink()
        for name, data in release.of(release.parts[1]).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    bank = read(release, tmp_path / "data", tmp_path / "cache")
    assert bank.images.shape == (5, 20, 28, 28, 1)
    assert bank.names == (
        "Alpha/character01",
        "Alpha/character02",
        "Beta_(old)/character01",
        "Gamma/character01",
        "Gamma/character02",
    )
    assert bank.splits == ("background",) * 3 + ("evaluation",) * 2
    expected = shrink(ink(release.files[A_FILE])[None])[0]
    assert (bank.images[2, 6] == expected).all()
    assert bank.digest == digest_of(bank.images, bank.names)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_packing_and_encoding_do_not_change_the_digest(release, tmp_path, caplog):
    release.write_zips(tmp_path / "one")
    for name, data in release.files.items():
        file = io.BytesIO()
        Image.open(io.BytesIO(data)).convert("L").save(file, "PNG", compress_level=1)
        assert file.getvalue() != data
        release.files[name] = file.getvalue()
    release.files = {f"{name.split('/')[0]}/deeper/{name}": data for name, data in release.files.items()}
    release.files["images_background/README.md"] = b"not a image"
    release.write_zips(tmp_path / "two", zipfile.ZIP_DEFLATED)
    one, two = (read(release, tmp_path / name, tmp_path / "cache") for name in ("one", "two"))
    assert one.digest == two.digest
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_cached_bank_is_not_decoded_again(release, tmp_path):
    folder = release.write_folders(tmp_path / "data")
    first = read(release, folder, tmp_path / "cache")
    for path in folder.rglob("*.png"):  # the same name, size and time, but no longer an image
        status, size = path.stat(), path.stat().st_size
        path.write_bytes(b"x" * size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read(release, folder, tmp_path / "cache").digest == first.digest
    next(folder.rglob("*.png")).touch()
    with pytest.raises(DataError, match="does not decode"):
        read(release, folder, tmp_path / "cache")


def damaged(name, data):
    def change(release):
        release.files[name] = data

    return change


def removed(*prefixes):
    def change(release):
        release.files = {k: v for k, v in release.files.items() if not k.startswith(prefixes)}

    return change


def moved(old, new):
    def change(release):
        release.files[new] = release.files.pop(old)

    return change


def copied(old, new):
    def change(release):
        release.files |= {new + k.removeprefix(old): v for k, v in release.files.items() if k.startswith(old)}

    return change


CLASS = "images_background/Beta_(old)/character01"
BAD = {
    "19 drawings": (removed(A_FILE), r"1 of the 60 images .* missing \(Beta_\(old\)/character01/NNNN_07\.png\)"),
    "no such class": (removed(CLASS), r"20 of the 60 images .* missing \(Beta_\(old\)/character01/\S+, .* and 17 more"),
    "no images": (removed("images_background/A", "images_background/B"), "60 of the 60 images of Omniglot's images_b"),
    "wrong size": (damaged(A_FILE, image(1, side=104)), r"0003_07\.png: has 104 x 104 pixels instead of 105 x 105"),
    "empty file": (damaged(A_FILE, b""), r"0003_07\.png: does not decode"),
    "not a image": (damaged(A_FILE, b"<html>404</html>"), r"0003_07\.png: does not decode"),
    "another format": (damaged(A_FILE, b"GIF89a" + bytes(50)), r"0003_07\.png: does not decode"),
    "half a image": (damaged(A_FILE, image(1)[:90]), r"0003_07\.png: does not decode"),
    "broken checksum": (damaged(A_FILE, image(1)[:60] + b"\0\0" + image(1)[62:]), r"0003_07\.png: does not decode"),
    "too large": (damaged(A_FILE, bytes(70_000)), r"0003_07\.png: 70000 bytes are too many"),
    "21st drawing": (damaged(f"{CLASS}/0003_21.png", image(1)), r"0003_21\.png: not an image of Omniglot"),
    "a copy": (damaged(f"{CLASS}/0003_07 (1).png", image(1)), r"0003_07 \(1\)\.png: not an image of Omniglot"),
    "same drawing twice": (
        copied(A_FILE, f"images_background/again/{A_FILE.split('/', 1)[1]}"),
        r"0003_07\.png: a duplicate.*0003_07\.png is there too",
    ),
    "class twice": (copied(CLASS, f"{CLASS} copy"), r"character01 copy/0003_01\.png: not an image"),
    "another class's drawings": (
        moved(A_FILE, A_FILE.replace("0003_07", "0002_07")),
        r"0002_07\.png: a duplicate|0003_\d\d\.png: a duplicate",
    ),
    "foreign alphabet": (
        damaged("images_background/Klingon/character01/0009_01.png", image(1)),
        r"Klingon/character01/0009_01\.png: not an image of Omniglot's images_background",
    ),
}


@pytest.mark.parametrize("form", ["write_zips", "write_folders"])
@pytest.mark.parametrize("change", BAD)
def test_what_is_wrong_is_named(release, tmp_path, change, form):
    damage, message = BAD[change]
    damage(release)
    folder = getattr(release, form)(tmp_path / "data")
    if form == "write_folders":
        (folder / "images_background").mkdir(exist_ok=True)  # also if all images of it were removed
    with pytest.raises(DataError, match=message):
        read(release, folder, tmp_path / "cache")
    assert not list(tmp_path.rglob("*.npy"))


def test_the_missing_part_is_named(release, tmp_path):
    folder = release.write_zips(tmp_path / "data")
    (folder / "images_evaluation.zip").unlink()
    with pytest.raises(DataError, match=r"images_evaluation .*is missing"):
        read(release, folder, tmp_path / "cache")


def test_other_images_than_the_public_ones_give_a_warning_every_time(release, tmp_path, caplog):
    release.files[A_FILE] = image(999)
    folder = release.write_zips(tmp_path / "data")
    for _ in range(2):
        caplog.clear()
        read(release, folder, tmp_path / "cache")
        (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert "images_background.zip" in record.getMessage()
        assert "NOT those of Omniglot's public release" in record.getMessage()


def exact_area(paper):
    """Return every small pixel's mean over the area that it covers, computed with fractions."""
    edges = [Fraction(105, 28) * i for i in range(29)]

    def share(pixel, low, high):
        return max(Fraction(0), min(high, Fraction(pixel + 1)) - max(low, Fraction(pixel)))

    out = np.zeros((28, 28), np.uint8)
    shares = [
        [(p, share(p, low, high)) for p in range(105) if share(p, low, high)] for low, high in itertools.pairwise(edges)
    ]
    for i, rows in enumerate(shares):
        for j, columns in enumerate(shares):
            total = sum(a * b for y, a in rows for x, b in columns if paper[y, x])
            out[i, j] = round(255 * total / Fraction(105, 28) ** 2)
    return out


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.9))
def test_shrinking_is_exact(seed, density):
    drawing = np.random.default_rng(seed).random((2, 105, 105)) < density
    small = shrink(drawing)
    assert small.shape == (2, 28, 28, 1) and small.dtype == np.uint8
    assert (small[1, :, :, 0] == exact_area(drawing[1])).all()


def test_ink_is_255_and_paper_is_0():
    assert (shrink(np.ones((1, 105, 105), bool)) == 255).all()
    assert (shrink(np.zeros((1, 105, 105), bool)) == 0).all()


def test_the_layout_is_that_of_the_paper():
    assert [len(part.characters) for part in PARTS] == [964, 659]
    assert len({name for part in PARTS for name in part.characters}) == 1623
    assert len(BACKGROUND.alphabets) == 30 and len(EVALUATION.alphabets) == 20


@pytest.mark.needs_data
def test_real_omniglot_has_the_published_content(omniglot_bank, data_dir, cache_dir, caplog):
    bank = omniglot_bank
    assert bank.dataset == "omniglot"
    assert bank.images.shape == (1623, 20, 28, 28, 1)
    assert bank.splits == ("background",) * 964 + ("evaluation",) * 659
    assert bank.names[0] == "Alphabet_of_the_Magi/character01" and bank.names[-1] == "ULOG/character26"
    # the resampling is exact, so this holds on every machine
    assert bank.digest == "39d22072d96464fc0e9cce2b8132692f7f9db6f7fc88bbe699b47b81c36076ea"
    assert 0.07 < bank.images.mean() / 255 < 0.09  # ink is bright and rare
    assert (bank.images.reshape(1623 * 20, -1).max(1) > 100).all()  # no image is blank
    start = time.monotonic()
    again = open_dataset("omniglot", data_dir, cache_dir, download=False)
    assert time.monotonic() - start < 3  # 0.1 s where nothing else runs; decoding takes longer
    assert again.digest == bank.digest
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]  # it is the public release's content


@pytest.mark.needs_data
def test_the_nearest_neighbour_is_right_as_often_as_published(omniglot_bank):
    """Vinyals et al. (2016), table 1: pixels, 5-way, 41.7% with one shot and 63.2% with five."""
    assert 0.58 < nearest_neighbour(omniglot_bank.images, shots=5) < 0.70
    assert 0.37 < nearest_neighbour(omniglot_bank.images, shots=1) < 0.50


@pytest.mark.needs_data
@pytest.mark.parametrize("change", ["truncated", "one less", "twice"])
def test_damage_to_the_real_files_is_named(data_dir, tmp_path, cache_dir, change):
    found = locate(data_dir)
    if not all(path.suffix == ".zip" for path in found.values()):
        pytest.skip("TFMETA_DATA holds Omniglot as folders, not as zips")
    target = tmp_path / "images_background.zip"
    shutil.copy(found["evaluation"], tmp_path / "images_evaluation.zip")
    with zipfile.ZipFile(found["background"]) as source, zipfile.ZipFile(target, "w") as file:
        for info in source.infolist():
            if not (change == "one less" and info.filename.endswith("0709_20.png")):
                file.writestr(info.filename, source.read(info))
        if change == "twice":
            file.writestr("copy/" + info.filename, source.read(info))
    if change == "truncated":
        target.write_bytes(target.read_bytes()[:-100_000])
    message = {
        "truncated": r"images_background\.zip: truncated",
        "one less": r"1 of the 19280 images .* missing \(Alphabet_of_the_Magi/character01/NNNN_20\.png\)",
        "twice": r"images_background\.zip/\S+/0964_20\.png: a duplicate",
    }[change]
    with pytest.raises(DataError, match=message):
        open_dataset("omniglot", tmp_path, tmp_path / "cache", download=False)


def test_the_layout_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        BACKGROUND.digest = ""
