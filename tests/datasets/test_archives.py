import contextlib
import os
import subprocess
import zipfile

import pytest
from privileges import as_nobody, reachable_by_all

from tfmeta.datasets import archives
from tfmeta.errors import DataError

MEMBERS = {"top/a/1.png": b"one", "top/a/2.png": b"two", "top/b/1.png": b"three"}
JUNK = {"__MACOSX/top/._1.png": b"junk", "top/a/.DS_Store": b"junk", "top/.hidden/1.png": b"junk"}


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def write_folder(path, members):
    for name, data in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_zip_and_folder_read_alike(tmp_path, write):
    path = write(tmp_path / "images", {**MEMBERS, **JUNK})
    with archives.Archive(path) as archive:
        assert archive.members == sorted(MEMBERS)
        assert {name: archive.read(name, 5) for name in archive.members} == MEMBERS
        with pytest.raises(DataError, match=r"top/b/1\.png: 5 bytes are too many"):
            archive.read("top/b/1.png", 4)


@pytest.mark.parametrize("name", ["../evil.png", "top/../../evil.png", "/etc/evil.png", "C:/evil.png", "..\\evil.png"])
def test_a_zip_with_a_path_out_of_its_folder_is_refused(tmp_path, name):
    path = write_zip(tmp_path / "x.zip", {**MEMBERS, name: b"evil"})
    with pytest.raises(DataError, match=r"x\.zip: refused.*evil\.png"):
        archives.Archive(path)
    assert [p.name for p in tmp_path.rglob("*")] == ["x.zip"]


def test_a_duplicate_member_is_named(tmp_path):
    path = write_zip(tmp_path / "x.zip", MEMBERS)
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("top/a/2.png", b"other")
    with pytest.raises(DataError, match=r"top/a/2\.png.*more than once"):
        archives.Archive(path)


@pytest.mark.parametrize("keep", [0, 3, 60, -1, -30])
def test_a_truncated_zip_is_named(tmp_path, keep):
    path = write_zip(tmp_path / "x.zip", MEMBERS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"x\.zip: (truncated|is not a zip)"):
        archives.Archive(path)


@pytest.mark.parametrize("start", [b"<!DOCTYPE html><html>", b"\n  <html lang='en'>", b"<HEAD>"])
def test_a_zip_that_is_a_web_page_is_named(tmp_path, start):
    path = tmp_path / "x.zip"
    path.write_bytes(start + b"404 not found")
    with pytest.raises(DataError, match=r"x\.zip: is a web page"):
        archives.Archive(path)


def test_a_damaged_member_is_named(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"top/1.png": b"good", "top/2.png": bytes(range(256))})
    data = bytearray(path.read_bytes())
    data[data.index(b"top/2.png") + 80] ^= 255
    path.write_bytes(data)
    with archives.Archive(path) as archive:
        assert archive.read("top/1.png", 100) == b"good"
        with pytest.raises(DataError, match=r"x\.zip/top/2\.png: damaged"):
            archive.read("top/2.png", 1000)


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_changed_byte_is_an_error_or_other_data_and_never_a_crash(tmp_path, packing):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", packing) as file:
        file.writestr("é/1.png", bytes(range(256)) * 2)
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 255]) + good[at + 1 :])
        with contextlib.suppress(DataError), archives.Archive(path) as archive:
            for member in archive.members:
                archive.read(member, 1000)


def test_a_member_without_a_name_is_skipped(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"?.png": b"", "1.png": b"good"})
    path.write_bytes(path.read_bytes().replace(b"?.png", b"\0.png"))  # a name ends at a zero
    with archives.Archive(path) as archive:
        assert archive.members == ["1.png"]


def test_an_encrypted_member_is_named(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"1.png": b"secret"})
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag in the member's header, and in the list of members
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with archives.Archive(path) as archive, pytest.raises(DataError, match=r"1\.png: damaged.*encrypted"):
        archive.read("1.png", 100)


def test_a_folder_with_too_many_files_is_refused(tmp_path, monkeypatch):
    write_folder(tmp_path / "folder", MEMBERS)
    monkeypatch.setattr(archives, "MOST_ENTRIES", 6)  # three files in three folders
    assert len(archives.Archive(tmp_path / "folder").members) == len(MEMBERS)
    (tmp_path / "folder" / ".hidden").touch()  # counts, since looking at it takes time
    for read in (archives.Archive, archives.identity):
        with pytest.raises(DataError, match=r"folder: has more than 6 files and folders"):
            read(tmp_path / "folder")


@pytest.mark.slow
def test_folders_may_be_deeper_than_pythons_stack(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("a", dir_fd=here)
        here, above = os.open("a", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(os.open("1.png", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    found = archives.Archive(tmp_path).members
    subprocess.run(["rm", "-r", tmp_path / "a"], check=True)  # pytest could not
    assert found == ["a/" * 1100 + "1.png"]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.zip")
    with pytest.raises(DataError, match=r"x\.zip: is neither a file nor a folder"):
        archives.Archive(tmp_path / "x.zip")


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.zip: cannot be read \(No such file"):
        archives.Archive(tmp_path / "nowhere.zip")


@pytest.mark.parametrize("locked", ["x.zip", "folder/top/a", "folder/top/a/1.png"])
def test_an_unreadable_file_or_folder_is_named(tmp_path, locked):
    write_zip(tmp_path / "x.zip", MEMBERS)
    write_folder(tmp_path / "folder", MEMBERS)
    reachable_by_all(tmp_path)
    (tmp_path / locked).chmod(0)
    path = tmp_path / locked.split("/")[0]
    try:
        with as_nobody(), pytest.raises(DataError, match=rf"{locked}: cannot be read \(Permission denied\)"):
            with archives.Archive(path) as archive:
                archive.read("top/a/1.png", 100)
    finally:
        (tmp_path / locked).chmod(0o755)


def test_the_identity_changes_with_a_files_size_or_time(tmp_path):
    for path in (write_zip(tmp_path / "x.zip", MEMBERS), write_folder(tmp_path / "folder", MEMBERS)):
        before = archives.identity(path)
        assert archives.identity(path) == before
        changed = path if path.is_file() else path / "top/a/1.png"
        os.utime(changed, ns=(1, 1))
        assert archives.identity(path) != before
        again = archives.identity(path)
        with changed.open("ab") as file:
            file.write(b"x")
        os.utime(changed, ns=(1, 1))
        assert archives.identity(path) != again
