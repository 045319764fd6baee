"""Banks and shards: which of them a run could use again."""

import json
import os
import shutil

import numpy as np
import pytest
from datasets.image_folder.image_folders import drawn, opened, pixels, write
from stored_things import aged, states, taken

from tfmeta.datasets import shards
from tfmeta.datasets.cache import fetch
from tfmeta.inventory import DAMAGED, FOREIGN, UNKNOWN, UNUSED, USED
from tfmeta.store import lock


@pytest.fixture
def photos(tmp_path):
    return drawn(tmp_path / "photos")


@pytest.fixture
def bank(photos, tmp_path):
    return opened(photos, tmp_path)


def the_bank(tmp_path):
    return next(entry for entry in taken(tmp_path).values() if entry.kind == "banks")


def shard(tmp_path, bank):
    """Write a shard of a bank; return its path."""
    return shards.write_images(tmp_path / "cache" / "shards", shards.name_of(bank), bank.images[0])


def test_a_bank_is_used_while_its_source_is_as_it_was(bank, photos, tmp_path):
    found = the_bank(tmp_path)
    assert found.state == USED and "image-folder: 10 classes of up to 15 images, 6x6x1; images from" in found.what
    write(photos, {"class3/0.png": pixels(7)})
    found = the_bank(tmp_path)
    assert found.state == UNUSED and found.why == f"its source {photos / 'class3'} has changed since"
    shutil.rmtree(photos)
    found = the_bank(tmp_path)
    assert found.state == UNUSED and found.why == f"its source folder {photos} is gone"


def test_a_source_that_cannot_be_read_now_counts_as_unchanged(bank, photos, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", lambda path, real=os.scandir: refuse() if "photos" in str(path) else real(path))
    assert the_bank(tmp_path).state == USED


def edit(tmp_path, **changes):
    """Change a bank's side file, and its name with it, as another version would have written it."""
    path = next((tmp_path / "cache" / "banks").glob("*.json"))
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, **changes}))
    return path


def test_a_bank_without_a_seal_is_of_an_older_format(bank, tmp_path):
    path = edit(tmp_path)
    stored = json.loads(path.read_text())
    del stored["seal"]
    path.write_text(json.dumps(stored))
    found = the_bank(tmp_path)
    assert (found.state, found.why) == (UNUSED, "of an older format (without a seal)")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"identity": 3}', "[" * 100_000])
def test_a_damaged_side_file_is_said(bank, tmp_path, text):
    edit(tmp_path).write_text(text)
    found = the_bank(tmp_path)
    assert found.state == UNUSED and found.why.startswith("damaged: ")


def test_a_bank_of_another_size_or_name_is_damaged(bank, tmp_path):
    edit(tmp_path, bytes=3)
    assert the_bank(tmp_path).why.startswith("damaged: ")


def test_a_bank_that_is_not_whole_was_left_by_a_run_unless_one_is_making_it(bank, tmp_path):
    path = edit(tmp_path)
    path.unlink()
    assert the_bank(tmp_path).why == "left by a run that ended before it was whole"
    with lock.to_remove(path.with_suffix(".lock")):
        found = the_bank(tmp_path)
    assert (found.state, found.why) == (USED, "a process is making it")


def test_a_bank_of_a_data_set_that_is_not_loaded_is_not_known(tmp_path):
    fetch(tmp_path / "cache", "mine", {}, (2, 3, 4, 4, 1), filled)
    found = the_bank(tmp_path)
    assert found.state == UNKNOWN and "--plugin" in found.why


def filled(images):
    from tfmeta.datasets.cache import Description

    return Description(("one", "two"), ("", ""), "drawn")


def test_glyphs_are_used_if_they_would_be_drawn_so_again(glyphs_bank, cache_dir, tmp_path):
    for path in (cache_dir / "banks").glob("glyphs-a*"):
        (tmp_path / "cache" / "banks").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "cache" / "banks")
    found = [entry for entry in taken(tmp_path).values() if entry.kind == "banks"]
    assert [entry.state for entry in found] == [USED]


def test_a_shard_is_used_while_its_bank_is_and_somebody_read_it_lately(bank, photos, tmp_path):
    path = shard(tmp_path, bank)
    name = f"{shards.name_of(bank)}-*"
    found = taken(tmp_path)[name]
    assert found.state == USED and found.what == f"clients' images of the bank {the_bank(tmp_path).name}"
    aged(path, 31)
    found = taken(tmp_path)[name]
    assert (found.state, found.why) == (UNUSED, "not used for 30 days")
    assert shard(tmp_path, bank) == path and taken(tmp_path)[name].state == USED  # it was found and read
    shutil.rmtree(photos)
    assert taken(tmp_path)[name].why == f"its bank is unused: its source folder {photos} is gone"
    shutil.rmtree(tmp_path / "cache" / "banks")
    assert taken(tmp_path)[name].why == "its bank is gone"


def test_shards_of_older_formats_are_unused(tmp_path):
    for name in ("shards/glyphs-{}.u8", "shards/glyphs-images-{}.u8", "pools/glyphs-{}.u8"):
        path = tmp_path / "cache" / name.format("0" * 20)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12")
    found = taken(tmp_path)
    assert {(name, entry.why) for name, entry in found.items()} == {
        ("shards/glyphs-*", "of an older format"), ("pools/glyphs-*", "of an older format")
    }  # fmt: skip


def test_shards_of_a_data_set_from_outside_need_no_bank_in_the_cache(tmp_path):
    path = shards.write_images(tmp_path / "cache" / "shards", f"mine-{'a' * 12}", np.ones(3, np.uint8))
    assert states(tmp_path) == {f"mine-{'a' * 12}-*": USED}
    aged(path, 31)
    assert states(tmp_path) == {f"mine-{'a' * 12}-*": UNUSED}


def test_half_written_files_are_left_over_once_their_process_has_ended(tmp_path):
    folder = tmp_path / "cache" / "shards"
    folder.mkdir(parents=True)
    ended, alive = (folder / f".a.u8.{number}.{'0' * 8}.tfmeta-tmp" for number in (2**22 + 1, os.getpid()))
    ended.write_bytes(b"1")
    alive.write_bytes(b"1")
    found = taken(tmp_path)
    assert (found[ended.name].state, found[ended.name].why) == (UNUSED, "left by a killed run")
    assert found[ended.name].left and found[alive.name].state == USED


def test_files_of_others_and_links_are_not_ours(bank, tmp_path):
    banks = tmp_path / "cache" / "banks"
    (banks / "notes.txt").write_text("mine")
    (banks / f"image-folder-{'0' * 16}.npy").symlink_to(banks / "notes.txt")
    (tmp_path / "cache" / "mine").mkdir()
    (tmp_path / "cache" / "shards").symlink_to(banks)
    found = taken(tmp_path)
    names = ("notes.txt", f"image-folder-{'0' * 16}.npy", "mine", "shards")
    assert [found[name].state for name in names] == [FOREIGN] * 4
    assert DAMAGED not in {entry.state for entry in found.values()}
