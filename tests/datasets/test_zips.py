"""Malicious zips are refused, and take neither memory nor time."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hostile_zips import end, entry, member

import tfmeta
from tfmeta.datasets import archives, zips
from tfmeta.errors import DataError

# Read the first member of the zip, print what was refused, and by how many MB the process grew.
READ = """
import resource, sys
from pathlib import Path
from tfmeta.datasets import archives
from tfmeta.errors import DataError
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
before = peak()
try:
    with archives.Archive(Path(sys.argv[1])) as archive:
        archive.read(archive.members[0], 1 << 20)
except DataError as error:
    print(error)
print(peak() - before)
"""


def refusal_and_growth(path):
    root = Path(tfmeta.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", READ, path], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    *sentence, grown = done.stdout.splitlines()
    return "\n".join(sentence), int(grown)


def write(path, *members, count=None):
    """Write a zip of members made by `hostile_zips.member`; it may claim another number of them."""
    data, entries = b"".join(local for local, _ in members), b"".join(listed for _, listed in members)
    path.write_bytes(data + entries + end(len(members) if count is None else count, len(entries), len(data)))
    return path


@pytest.mark.parametrize("claim", [0, 400, 1 << 19])
def test_a_member_that_claims_less_than_it_holds_takes_no_memory(tmp_path, claim):
    path = write(tmp_path / "x.zip", member(b"1.png", bytes(60 << 20), claim))
    assert path.stat().st_size < 1 << 20
    sentence, grown = refusal_and_growth(path)
    assert "x.zip/1.png: damaged" in sentence and grown < 30


def test_a_member_that_claims_more_than_it_holds_is_damaged(tmp_path):
    path = write(tmp_path / "x.zip", member(b"1.png", b"four", 5))
    with archives.Archive(path) as archive, pytest.raises(DataError, match=r"damaged.*claims 5 bytes and holds 4"):
        archive.read("1.png", 100)


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_that_are_unpacked_in_one_go_are_refused(tmp_path, packing):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", packing) as file:
        file.writestr("1.png", bytes(1000))
    with archives.Archive(tmp_path / "x.zip") as archive, pytest.raises(DataError, match=r"x\.zip/1\.png: packed by"):
        archive.read("1.png", 1 << 20)


@pytest.mark.parametrize(("claim", "zip64"), [(1, False), (1, True), (zips.MOST_FILES + 1, True)])
def test_too_many_members_are_refused_before_any_is_listed(tmp_path, claim, zip64):
    number = zips.MOST_FILES + 1
    entries = entry(b"1.png") * number
    (tmp_path / "x.zip").write_bytes(entries + end(claim, len(entries), 0, zip64))
    sentence, grown = refusal_and_growth(tmp_path / "x.zip")
    assert f"x.zip: refused, since it lists {number} files" in sentence and grown < 30


def test_a_list_of_files_that_is_too_long_is_refused(tmp_path):
    with (tmp_path / "x.zip").open("wb") as file:
        file.truncate(zips.LARGEST_DIRECTORY + 1)  # of zeros, which take no space
        file.seek(0, 2)
        file.write(end(1, zips.LARGEST_DIRECTORY + 1, 0))
    sentence, grown = refusal_and_growth(tmp_path / "x.zip")
    assert "its list of files has" in sentence and grown < 30


def test_entries_are_counted_across_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(zips, "_BLOCK", 7)
    monkeypatch.setattr(zips, "MOST_FILES", 2)
    some = [member(b"1.png"), member(b"2.png", offset=35)]
    write(tmp_path / "two.zip", *some, count=1)
    with archives.Archive(tmp_path / "two.zip") as archive:
        assert archive.members == ["1.png", "2.png"]
    write(tmp_path / "three.zip", *some, member(b"3.png", offset=70), count=1)
    with pytest.raises(DataError, match="lists 3 files"):
        archives.Archive(tmp_path / "three.zip")


def test_members_that_share_bytes_are_refused(tmp_path):
    local, first = member(b"1.png", bytes(1000))
    _, second = member(b"2.png", bytes(1000))
    for name, entries in (("same.zip", [first, second]), ("inside.zip", [first, member(b"2.png", offset=31)[1]])):
        write(tmp_path / name, (local, b""), *((b"", listed) for listed in entries))
        with pytest.raises(DataError, match=rf"{name}: refused, since its members '1.png' and '2.png' overlap"):
            archives.Archive(tmp_path / name)


def test_a_zip_in_zip64_form_is_read(tmp_path):
    local, listed = member(b"1.png", b"good")
    (tmp_path / "x.zip").write_bytes(local + listed + end(1, len(listed), len(local), zip64=True))
    with archives.Archive(tmp_path / "x.zip") as archive:
        assert archive.read("1.png", 4) == b"good"
