import json
import logging
import multiprocessing
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from bank_maker import DESCRIPTION, IDENTITY, IMAGES, SHAPE, Maker, fetch, only
from privileges import as_nobody, reachable_by_all

from tfmeta.datasets import cache
from tfmeta.datasets.image_bank import digest_of
from tfmeta.errors import DataError, StorageError


def test_a_bank_is_made_once_and_mapped_afterwards(tmp_path, caplog):
    maker = Maker()
    for _ in range(2):
        caplog.clear()
        bank = fetch(tmp_path, maker)
        assert (bank.images == IMAGES).all()
        assert isinstance(bank.images, np.memmap)
        assert not bank.images.flags.writeable
        assert bank.digest == digest_of(IMAGES, DESCRIPTION.names)
        assert (bank.dataset, bank.names, bank.splits) == ("test", DESCRIPTION.names, DESCRIPTION.splits)
        assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == ["take care"]
    assert maker.times == 1
    assert sorted(p.suffix for p in (tmp_path / "banks").iterdir()) == [".json", ".lock", ".npy"]


def test_another_identity_is_another_bank(tmp_path):
    maker = Maker()
    fetch(tmp_path, maker)
    fetch(tmp_path, maker, {"files": [["a.zip", 10, 21]]})
    assert maker.times == 2


@pytest.mark.parametrize("pattern", ["*.npy", "*.json"])
def test_a_bank_without_one_of_its_files_is_made_again(tmp_path, pattern):
    """A process that is killed between the two files leaves the first; a user may remove either."""
    maker = Maker()
    fetch(tmp_path, maker)
    only(tmp_path, pattern).unlink()
    assert (fetch(tmp_path, maker).images == IMAGES).all()
    assert maker.times == 2


def test_a_pickle_in_a_cached_file_is_not_loaded(tmp_path):
    maker = Maker()
    fetch(tmp_path, maker)
    npy, sidecar = only(tmp_path, "*.npy"), only(tmp_path, "*.json")
    np.save(npy, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "bytes": npy.stat().st_size}))
    assert (fetch(tmp_path, maker).images == IMAGES).all()
    assert maker.times == 2


def test_nothing_is_left_if_the_maker_raises(tmp_path):
    def fail(images):
        images[:] = 1
        raise DataError("0709_01.png: does not decode")

    with pytest.raises(DataError, match="0709_01"):
        fetch(tmp_path, fail)
    assert [p.suffix for p in (tmp_path / "banks").iterdir()] == [".lock"]


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(StorageError, match="banks"):
            fetch(tmp_path, Maker())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.suffix for p in (tmp_path / "banks").iterdir()] == [".lock"]


def test_disk_space_is_allocated_before_a_bank_is_made_and_its_images_take_no_memory(tmp_path):
    """Otherwise a large bank fills the memory, or kills the process if the disk fills up under the mapping."""

    def anonymous():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

    def fill(images):
        assert isinstance(images, np.memmap) and not images.any()
        assert only(tmp_path, ".*.tfmeta-tmp").stat().st_blocks * 512 >= images.nbytes
        before = anonymous()
        images[:] = 7
        assert anonymous() - before < images.nbytes / 1024 / 2
        return DESCRIPTION

    bank = cache.fetch(tmp_path, "test", IDENTITY, (3, 1000, 84, 84, 1), fill)
    assert (bank.images == 7).all()


def test_a_full_disk_is_noticed_before_anything_is_made(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    maker = Maker()
    try:
        with pytest.raises(StorageError, match="Make room"):
            fetch(tmp_path, maker)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert maker.times == 0


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"cache.*TFMETA_CACHE"):
        fetch(tmp_path / "cache", Maker())


@pytest.mark.parametrize("mode", [0o000, 0o600])
def test_a_cache_without_permission_to_search_it_is_named(tmp_path, mode):
    reachable_by_all(tmp_path)
    (tmp_path / "cache").mkdir(mode=mode)
    with as_nobody(), pytest.raises(StorageError, match=r"cache.*\(Permission denied\).*TFMETA_CACHE"):
        fetch(tmp_path / "cache", Maker())


def test_a_cache_whose_name_is_too_long_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"File name too long.*TFMETA_CACHE"):
        fetch(tmp_path / ("x" * 300), Maker())


def test_a_file_left_by_another_users_killed_process_does_no_harm(tmp_path):
    """It cannot be removed from a folder where everybody may write but only the owner may remove, such as /tmp."""
    reachable_by_all(tmp_path)
    (tmp_path / "banks").mkdir()
    left = tmp_path / "banks" / ".left.npy.99999999.0.tfmeta-tmp"
    left.write_bytes(b"half")
    (tmp_path / "banks").chmod(0o1777)
    with as_nobody():
        assert (fetch(tmp_path, Maker()).images == IMAGES).all()


def _slow(images):
    time.sleep(0.5)
    images[:] = IMAGES
    return DESCRIPTION


def _race(folder, barrier, made):
    def fill(images):
        with made.get_lock():
            made.value += 1
        return _slow(images)

    barrier.wait(30)
    assert (fetch(folder, fill).images == IMAGES).all()


@pytest.mark.slow
def test_one_of_several_processes_makes_the_bank(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, made = context.Barrier(3), context.Value("i", 0)
    processes = [context.Process(target=_race, args=(tmp_path, barrier, made)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert made.value == 1


def _start(folder, started):
    def fill(images):
        started.set()
        time.sleep(60)

    fetch(folder, fill)


def test_a_killed_process_blocks_nobody(tmp_path):
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    process = context.Process(target=_start, args=(tmp_path, started))
    process.start()
    assert started.wait(30)
    process.kill()
    process.join(30)
    (tmp_path / "banks" / f".left.npy.{process.pid}.0.tfmeta-tmp").write_bytes(b"half")
    assert (fetch(tmp_path, Maker()).images == IMAGES).all()
    assert not list((tmp_path / "banks").glob(".left*"))


@pytest.mark.parametrize("interrupted", ["digest_of", "atomic.write_json"])
def test_an_interruption_at_the_very_end_leaves_no_images(tmp_path, monkeypatch, interrupted):
    """Ctrl-C or a full disk while the digest is computed or the .json is written, when the images are complete."""

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"tfmeta.datasets.cache.{interrupted}", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fetch(tmp_path, Maker())
    assert [p.suffix for p in (tmp_path / "banks").iterdir()] == [".lock"]
    assert (fetch(tmp_path, Maker()).images == IMAGES).all()


def test_the_sizes_of_classes_are_kept_and_part_of_the_digest(tmp_path):
    def uneven(images):
        images[:] = IMAGES
        return cache.Description(("a", "b", "c"), ("",) * 3, "made here", counts=(4, 1, 2))

    for _ in range(2):
        bank = cache.fetch(tmp_path, "test", IDENTITY, SHAPE, uneven)
        assert bank.counts == (4, 1, 2) and bank.digest == digest_of(IMAGES, ("a", "b", "c"), (4, 1, 2))
