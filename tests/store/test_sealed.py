"""Sealed files: whatever happens to one, it is noticed, and it is hashed no more often than needed."""

import hashlib
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from tfmeta.store import sealed

CONTENT = np.random.default_rng(0).integers(0, 256, 5000, np.uint8)


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks and pieces in a small file."""
    monkeypatch.setattr(sealed, "BLOCK", 1024)
    monkeypatch.setattr(sealed, "_PIECE", 100)


@pytest.fixture
def path(tmp_path, small_blocks):
    written = sealed.write(tmp_path, "glyphs-0badcafe", ".u8", [CONTENT])
    assert sealed.intact(written)
    return written


def test_a_sealed_file_holds_the_buffers_and_its_digest_is_in_its_name(tmp_path):
    parts = [CONTENT[:2000].reshape(20, 100), b"", CONTENT[2000:].tobytes(), np.zeros((0, 3), np.float32)]
    path = sealed.write(tmp_path / "new" / "folder", "a-stem", ".u8", parts)
    assert path.read_bytes() == CONTENT.tobytes()
    digest = sealed.blocks_digest([CONTENT])
    assert path.name == f"a-stem-{digest[:20]}.u8" and digest == sealed.file_digest(path)
    assert sealed.sealed(path) and sealed.intact(path) and sealed.intact(str(path))
    assert sealed.find(path.parent, "a-stem", ".u8") == path
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_digest_is_that_of_the_documented_recipe(small_blocks):
    data = CONTENT.tobytes()
    blocks = b"".join(hashlib.sha256(data[first : first + 1024]).digest() for first in range(0, 5000, 1024))
    assert sealed.blocks_digest([data]) == hashlib.sha256(blocks + (5000).to_bytes(8, "little")).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 99, 100, 1023, 1024, 1025, 4096, 5000])
def test_a_file_and_any_division_into_buffers_have_one_digest(tmp_path, small_blocks, size):
    data, (first, last) = CONTENT[:size], sorted(np.random.default_rng(size).integers(0, size + 1, 2))
    (tmp_path / "file").write_bytes(data.tobytes())
    digests = {sealed.blocks_digest(list(parts)) for parts in ([data], [data[:first], data[first:last], data[last:]])}
    assert digests == {sealed.file_digest(tmp_path / "file")}


def test_a_flip_at_any_byte_is_noticed(path):
    whole, digest = path.read_bytes(), sealed.file_digest(path)
    with path.open("r+b") as file:
        for place in range(0, len(whole), 7):
            os.pwrite(file.fileno(), bytes([whole[place] ^ 1 << place % 8]), place)
            assert sealed.file_digest(path) != digest and not sealed.intact(path)
            os.pwrite(file.fileno(), whole[place : place + 1], place)
    assert sealed.intact(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d[:-1], lambda d: d[:1024], lambda d: b"", lambda d: d + b"\0",
        lambda d: d[:1000] + bytes(600) + d[1600:], lambda d: d[1024:2048] + d[:1024] + d[2048:],
    ],
    ids=["cut by one", "cut at a block", "empty", "longer", "zeroed", "blocks exchanged"],
)  # fmt: skip
def test_other_content_is_noticed_and_made_again_with_a_warning(path, caplog, change):
    path.write_bytes(change(path.read_bytes()))
    assert not sealed.intact(path)
    assert sealed.find(path.parent, "glyphs-0badcafe", ".u8") is None
    assert f"{path} is damaged" in caplog.text
    assert sealed.write(path.parent, "glyphs-0badcafe", ".u8", [CONTENT]) == path
    assert sealed.intact(path) and path.read_bytes() == CONTENT.tobytes()


def test_a_change_that_keeps_size_and_time_is_noticed(path):
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"\0\0")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size and path.stat().st_mtime_ns == before.st_mtime_ns
    assert not sealed.intact(path)


def test_another_file_of_the_same_size_and_time_is_noticed(path, tmp_path):
    before, other = path.stat(), tmp_path / "other"
    other.write_bytes(bytes(len(CONTENT)))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert not sealed.intact(path)


def test_a_file_is_hashed_once_and_again_when_its_time_changes(path, monkeypatch):
    hashed, file_digest = [], sealed.file_digest
    time.sleep(0.15)  # until another change would have another time stamp
    assert sealed.intact(path)
    monkeypatch.setattr(sealed, "file_digest", lambda path: hashed.append(path) or file_digest(path))
    assert all(sealed.intact(path) for _ in range(3)) and hashed == []
    assert sealed.write(path.parent, "glyphs-0badcafe", ".u8", [CONTENT]) == path and hashed == []
    os.utime(path)
    assert sealed.intact(path) and hashed == [path]
    time.sleep(0.15)
    assert all(sealed.intact(path) for _ in range(3)) and hashed == [path] * 2


def test_a_change_right_after_a_file_was_written_and_checked_is_noticed(tmp_path):
    """The time stamps of both are those of one tick of the system's clock."""
    for number in range(50):
        path = sealed.write(tmp_path, str(number), ".u8", [b"a" * 10])
        assert sealed.intact(path)
        with path.open("r+b") as file:
            file.write(b"b")
        assert not sealed.intact(path)


def test_files_that_are_missing_without_a_seal_or_no_files_are_not_intact(tmp_path):
    (tmp_path / "plain.u8").write_bytes(b"x")
    (tmp_path / f"folder-{'0' * 20}.u8").mkdir()
    assert not sealed.sealed(tmp_path / "plain.u8") and not sealed.sealed(tmp_path / f"a-{'0' * 19}.u8")
    for name in ("plain.u8", f"folder-{'0' * 20}.u8", f"missing-{'0' * 20}.u8"):
        assert not sealed.intact(tmp_path / name)


def test_a_stem_finds_its_own_files_alone(path):
    for name in ("glyphs", "glyphs-0badcaf?", "glyphs-0badcaf[e]", "lyphs-0badcafe"):
        assert sealed.find(path.parent, name, ".u8") is None
    assert sealed.find(path.parent / "nowhere", "glyphs", ".u8") is None
    assert sealed.files(path.parent, "glyphs-0badcafe", ".u8") == [path]


def test_replacing_leaves_one_file_of_a_stem(path):
    others = [sealed.write(path.parent, stem, ".u8", [b"another"]) for stem in ("glyphs-0badcafe", "glyphs")]
    assert sealed.replace(path.parent, "glyphs-0badcafe", ".u8", [CONTENT]) == path
    assert sorted(path.parent.iterdir()) == sorted([path, others[1]])


WRITE = """
import sys
from tfmeta.store import sealed
for number in range(200):
    sealed.write(sys.argv[1], f"stem-{number % 3}", ".u8", [bytes([number % 3]) * 100_000])
"""


def test_two_processes_may_write_the_same_file(tmp_path):
    writers = [subprocess.Popen([sys.executable, "-B", "-c", WRITE, tmp_path]) for _ in range(2)]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 3 and all(map(sealed.intact, tmp_path.iterdir()))


def test_a_large_file_is_hashed_in_little_memory(tmp_path):
    """128 MB, of which 1 MB per thread is in memory."""
    code = """
import resource, sys
from tfmeta.store import sealed
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sealed.file_digest(sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(128 << 20)
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, tmp_path / "large"], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout) < 20_000  # kB
