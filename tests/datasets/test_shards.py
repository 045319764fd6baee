"""Shards of images: rotated, padded, and written to files."""

import contextlib
import dataclasses
import multiprocessing
import os
import resource

import numpy as np
import pytest
from core_fixtures import bank, identify, partition

from tfmeta.datasets import shards
from tfmeta.datasets.partition import Subset
from tfmeta.datasets.shards import fetch, write_images, write_shard
from tfmeta.errors import StorageError
from tfmeta.store import sealed


def subset(classes, turns, examples):
    return Subset(np.array(classes, np.int32), np.array(turns, np.int32), np.array(examples, np.int32))


SOME = subset([5, 5, 9, 5, 1622], [0, 1, 2, 3, 0], [[0, 19, 3], [0, 19, 3], [7, 2, -1], [4, -1, -1], [-1, -1, -1]])


def test_fetched_images_are_the_named_ones_rotated():
    images = fetch(bank(), SOME)
    assert images.dtype == np.uint8 and images.shape == (5, 3, 28, 28, 1)
    found = [[identify(image) for image in row] for row in images]
    assert found == [
        [(5, 0, 0), (5, 19, 0), (5, 3, 0)],
        [(5, 0, 1), (5, 19, 1), (5, 3, 1)],
        [(9, 7, 2), (9, 2, 2), None],
        [(5, 4, 3), None, None],
        [None, None, None],
    ]
    assert not images[2, 2].any() and not images[3, 1:].any() and not images[4].any()


def test_a_quarter_turn_is_counter_clockwise():
    images = np.zeros([1, 1, 2, 2, 1], np.uint8)
    images[0, 0, :, :, 0] = [[1, 2], [3, 4]]
    one = dataclasses.replace(bank(), images=images, names=("x",), splits=("b",))
    turned = [fetch(one, subset([0], [turns], [[0]])) for turns in range(4)]
    assert [image[0, 0, :, :, 0].tolist() for image in turned] == [
        [[1, 2], [3, 4]],
        [[2, 4], [1, 3]],
        [[4, 3], [2, 1]],
        [[3, 1], [4, 2]],
    ]


def test_fetched_images_are_a_copy():
    before = bank().images[5, 0].copy()
    fetch(bank(), SOME)[:] = 7
    assert (bank().images[5, 0] == before).all()


def test_a_mapped_bank_gives_the_same(tmp_path):
    np.save(tmp_path / "bank.npy", bank().images[:10])
    mapped = dataclasses.replace(
        bank(), images=np.load(tmp_path / "bank.npy", mmap_mode="r"), names=bank().names[:10], splits=bank().splits[:10]
    )
    some = subset([5, 9], [1, 0], [[0, 3], [2, -1]])
    assert (fetch(mapped, some) == fetch(bank(), some)).all()
    assert type(fetch(mapped, some)) is np.ndarray


def test_a_shard_holds_the_images_and_nothing_else(tmp_path):
    path = write_shard(tmp_path / "new" / "folder", bank(), SOME)
    assert np.fromfile(path, np.uint8).reshape(5, 3, 28, 28, 1).tolist() == fetch(bank(), SOME).tolist()
    assert [name.name for name in path.parent.iterdir()] == [path.name]
    assert path.name.startswith("omniglot-")


def test_a_shard_is_written_once(tmp_path):
    path = write_shard(tmp_path, bank(), SOME)
    inode = path.stat().st_ino
    assert write_shard(tmp_path, bank(), SOME) == path and path.stat().st_ino == inode


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _zero(path):
    with path.open("r+b") as file:
        file.seek(100)
        file.write(bytes(700))


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def _grow(path):
    path.write_bytes(path.read_bytes() + b"\0")


def _exchange(path):
    path.with_name("new").write_bytes(bytes(path.stat().st_size))
    path.with_name("new").replace(path)


DAMAGES = [_flip, _zero, _cut, _grow, _exchange]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("later", [False, True], ids=["of an earlier process", "between two rounds"])
def test_a_damaged_file_is_made_again_with_a_warning(tmp_path, caplog, monkeypatch, damage, later):
    images = np.arange(5000, dtype=np.uint32).astype(np.uint8)
    for write in (lambda: write_shard(tmp_path, bank(), SOME), lambda: write_images(tmp_path, "omniglot", images)):
        path = write()
        whole = path.read_bytes()
        if not later:
            monkeypatch.setattr(sealed, "_proven", {})
            monkeypatch.setattr(shards, "_shards", {})
        damage(path)
        caplog.clear()
        assert write() == path and path.read_bytes() == whole
        assert [message.split(":")[0] for message in caplog.messages] == [f"{path} is damaged"]
        caplog.clear()
        assert write() == path and not caplog.messages


def test_a_shard_with_another_seal_is_replaced(tmp_path):
    """Somebody renamed it, or it has the name of other content."""
    path = write_shard(tmp_path, bank(), SOME)
    other = path.replace(path.with_name(f"{path.stem[:-20]}{'0' * 20}.u8"))
    foreign = path.with_name(f"{path.stem[:-20]}{'0' * 20}.u8.bak")
    foreign.write_bytes(b"mine")
    assert write_shard(tmp_path, bank(), SOME) == path
    assert path.exists() and foreign.exists() and not other.exists()


def _write_often(folder):
    for _ in range(50):
        write_shard(folder, bank(), SOME)


def test_several_processes_may_write_the_same_shard(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_write_often, args=(tmp_path,)) for _ in range(3)]
    for process in processes:
        process.start()
    path = write_shard(tmp_path, bank(), SOME)
    for process in processes:
        _flip(path)
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert write_shard(tmp_path, bank(), SOME) == path and os.listdir(tmp_path) == [path.name]  # noqa: PTH208


def test_what_killed_processes_left_among_the_shards_is_removed(tmp_path):
    process = multiprocessing.get_context("fork").Process(target=lambda: None)
    process.start()
    process.join()
    dead, alive = (tmp_path / f".omniglot-x.u8.{pid}.0badcafe.tfmeta-tmp" for pid in (process.pid, os.getpid()))
    for path in (dead, alive):
        path.write_bytes(b"half")
    write_shard(tmp_path, bank(), SOME)
    assert alive.exists() and not dead.exists()


def test_different_content_means_different_names(tmp_path):
    variants = [
        (bank(), SOME),
        (dataclasses.replace(bank(), digest="1" * 64), SOME),
        (dataclasses.replace(bank(), dataset="glyphs"), SOME),
        (bank(), dataclasses.replace(SOME, classes=SOME.classes + 1 - 2 * (SOME.classes > 9))),
        (bank(), dataclasses.replace(SOME, turns=(SOME.turns + 1) % 4)),
        (bank(), dataclasses.replace(SOME, examples=SOME.examples[:, ::-1])),
    ]
    names = [write_shard(tmp_path, a_bank, a_subset).name for a_bank, a_subset in variants]
    assert len(set(names)) == len(names)


def test_train_and_validation_have_separate_shards(tmp_path):
    split = partition()
    paths = {write_shard(tmp_path, bank(), each) for each in (split.target_attacker, split.target_validation)}
    assert len(paths) == 2


def test_images_are_named_by_their_content(tmp_path):
    one, other = np.arange(12, dtype=np.uint8), np.arange(1, 13, dtype=np.uint8)
    paths = [write_images(tmp_path, "omniglot", array) for array in (one, other, one)]
    assert paths[0] == paths[2] != paths[1]
    assert paths[0].read_bytes() == one.tobytes() and paths[1].read_bytes() == other.tobytes()
    strided = write_images(tmp_path, "omniglot", np.arange(24, dtype=np.uint8)[::2])
    assert strided.read_bytes() == bytes(range(0, 24, 2))


@contextlib.contextmanager
def full_disk():
    """Let no file of this process grow beyond 1000 bytes, as on a full disk (pytest's own neither, so not for long)."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path):
    for write in (
        lambda: write_shard(tmp_path, bank(), SOME),
        lambda: write_images(tmp_path, "omniglot", np.ones(5000, np.uint8)),
    ):
        with pytest.raises(StorageError, match=r"\.u8 could not be written: .*Make room"), full_disk():
            write()
        assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/shards/.* could not be written"):
        write_shard(tmp_path / "file" / "shards", bank(), SOME)
