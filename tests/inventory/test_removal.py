"""Removal: what is removed is gone, what a run may need stays, and nothing half-removed counts as whole."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from datasets.image_folder.image_folders import drawn, opened
from stored_things import model, taken

from tfmeta.inventory import removal
from tfmeta.store import last_use, lock


@pytest.fixture
def folder(tmp_path):
    return model(tmp_path / "results")


def test_a_folder_of_models_is_removed_with_its_lock(folder, tmp_path):
    with lock.hold(folder):
        pass
    assert removal.remove(taken(tmp_path)[folder.name]) is None
    assert list(folder.parent.iterdir()) == []


def test_what_a_run_holds_is_kept(folder, tmp_path):
    entry = taken(tmp_path)[folder.name]
    with lock.hold(folder):
        kept = removal.remove(entry)
    assert kept.startswith(f"{folder} is in use by a run (process {os.getpid()}")
    assert len(list(folder.glob("round-*"))) == 2


def test_models_stay_while_a_run_works_on_their_data_set(folder, tmp_path):
    entry = taken(tmp_path)[folder.name]
    with lock.hold(tmp_path / "results" / "glyphs-smoke"):
        assert removal.remove(entry).startswith(f"a run works in {tmp_path / 'results' / 'glyphs-smoke'} (process ")
    assert len(list(folder.glob("round-*"))) == 2


def test_what_was_used_since_it_was_listed_is_kept(folder, tmp_path):
    entry = taken(tmp_path)[folder.name]
    path = folder / "round-00001.npz"
    os.utime(path, ns=(time.time_ns() + 10**9, path.stat().st_mtime_ns))
    assert removal.remove(entry) == "used by a run meanwhile" and path.exists()


def test_a_file_of_others_that_appeared_meanwhile_is_kept(folder, tmp_path):
    entry = taken(tmp_path)[folder.name]
    (folder / "notes.txt").write_text("mine")
    os.utime(folder / "notes.txt", (0, 0))
    assert "notes.txt" in removal.remove(entry) and len(list(folder.iterdir())) == 4  # with the lock


def test_what_is_gone_already_is_no_error(folder, tmp_path):
    entry = taken(tmp_path)[folder.name]
    assert removal.remove(entry) is None and removal.remove(entry) is None


def test_a_bank_is_removed_with_its_lock_and_made_again(tmp_path):
    photos = drawn(tmp_path / "photos")
    first = opened(photos, tmp_path)
    entry = next(entry for entry in taken(tmp_path).values() if entry.kind == "banks")
    assert removal.remove(entry) is None and list((tmp_path / "cache" / "banks").iterdir()) == []
    again = opened(photos, tmp_path)
    assert again.digest == first.digest and (again.images == first.images).all()


def test_a_bank_that_is_being_made_is_kept(tmp_path):
    opened(drawn(tmp_path / "photos"), tmp_path)
    entry = next(entry for entry in taken(tmp_path).values() if entry.kind == "banks")
    with lock.to_remove(entry.lock):
        assert "in use by a run" in removal.remove(entry)
    assert all(path.exists() for path in entry.paths)


KILLED = """
import os, signal, sys
from pathlib import Path
from tfmeta import inventory
from tfmeta.inventory import removal
at, seen = int(sys.argv[2]), 0
real = os.unlink
def unlink(path, *given, **more):
    global seen
    if seen == at:
        os.kill(os.getpid(), signal.SIGKILL)
    seen += 1
    real(path, *given, **more)
os.unlink = unlink
root = Path(sys.argv[1])
for entry in inventory.take(root / "cache", root / "results"):
    if entry.kind == "models":
        removal.remove(entry)
"""


@pytest.mark.parametrize("at", [0, 1])
def test_a_removal_that_is_killed_leaves_no_half_of_a_model(folder, tmp_path, at):
    root = Path(removal.__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path, str(at)], env={**os.environ, "PYTHONPATH": str(root)}, check=False
    )
    assert ended.returncode == -signal.SIGKILL and not folder.exists()
    (entry,) = (entry for entry in taken(tmp_path).values() if entry.kind == "models")
    assert entry.why == "left by a removal that was interrupted" and entry.left
    assert removal.remove(entry) is None and list(folder.parent.iterdir()) == []


def test_a_note_of_use_changes_the_access_time_alone_and_not_often(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12")
    os.utime(path, ns=(10**18, 1234567890123456789))
    last_use.note(path)
    noted = path.stat()
    assert noted.st_mtime_ns == 1234567890123456789 and time.time() - last_use.of(noted) < 60
    last_use.note(path)
    assert path.stat() == noted
    last_use.note(tmp_path / "missing")
