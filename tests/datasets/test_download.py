import dataclasses
import socket
import threading
import time

import numpy as np
import pytest

from tfmeta.datasets.download import CHUNK, Patience, fetch, reachable
from tfmeta.datasets.omniglot.release import locate, obtain, read_bank
from tfmeta.errors import DataError, DownloadError, StorageError

# No try ends but by the server's doing: a busy machine may let either side wait, and requests are counted.
QUICK = Patience(connect=20, read=20, tries=4, first_tries=2, wait=0.01, longest_wait=0.02)
IMPATIENT = dataclasses.replace(QUICK, connect=0.5, read=0.5)  # for servers that fall silent
BODY = b"PK\x03\x04" + np.random.default_rng(0).bytes(300_000)


def check(path):
    if path.read_bytes() != BODY:
        raise DataError(f"{path}: wrong content")


@pytest.fixture
def target(tmp_path, loopback):
    loopback.files["/x.zip"] = BODY
    return tmp_path / "data" / "x.zip"


def get(loopback, target, patience=QUICK):
    fetch(f"{loopback.url}/x.zip", target, check, patience)
    assert target.read_bytes() == BODY
    assert left(target) == []


def start_of(ranged):
    return int(ranged.removeprefix("bytes=").removesuffix("-"))


def left(target):
    """What lies beside the target, except the lock."""
    return sorted(p.name for p in target.parent.iterdir() if p != target and not p.name.endswith(".lock"))


def test_a_good_server(loopback, target, capfd):
    get(loopback, target)
    assert loopback.requests == [("GET", "/x.zip", None)]
    assert capfd.readouterr().err == ""  # no bar where there is no terminal


def test_a_short_file_is_continued_where_it_broke_off(loopback, target):
    loopback.manners = [("short", 100_000), ("short", 50_000), "good"]
    get(loopback, target)
    first, second, third = (ranged for *_, ranged in loopback.requests)
    assert first is None
    assert 100_000 - CHUNK < start_of(second) <= 100_000
    assert start_of(second) + 50_000 - CHUNK < start_of(third) <= start_of(second) + 50_000
    assert loopback.sent < len(BODY) + 2 * CHUNK


def test_a_file_that_stays_short_fails_and_the_next_run_continues(loopback, target):
    loopback.manners = [("short", 100_000), ("short", 0)]
    with pytest.raises(DownloadError, match=r"could not be fetched \(the connection broke: .*\d+ bytes are kept"):
        get(loopback, target)
    assert not target.exists() and left(target) == ["x.zip.part"]
    assert len(loopback.requests) == 1 + QUICK.tries
    loopback.manners, loopback.requests[:] = ["good"], []
    get(loopback, target)
    assert len(loopback.requests) == 1 and start_of(loopback.requests[0][2]) > 100_000 - CHUNK


def test_a_server_without_ranges_begins_again(loopback, target):
    loopback.manners = [("short", 100_000), "no-range"]
    get(loopback, target)
    assert loopback.sent == 100_000 + len(BODY)


def test_a_stall_times_out_and_is_continued(loopback, target):
    loopback.manners = [("stall", 100_000), ("stall", 0), "good"]
    start = time.monotonic()
    get(loopback, target, IMPATIENT)
    assert 2 * IMPATIENT.read <= time.monotonic() - start < 10
    assert start_of(loopback.requests[-1][2]) > 100_000 - CHUNK


def test_a_server_that_always_stalls_fails_in_time(loopback, target):
    loopback.manners = [("stall", 0)]
    start = time.monotonic()
    with pytest.raises(DownloadError, match="timed out"):
        get(loopback, target, IMPATIENT)
    assert time.monotonic() - start < 10
    assert not target.exists()


@pytest.mark.parametrize("earlier", [b"", BODY[:1000]])
def test_a_web_page_instead_of_a_zip_is_refused_at_once(loopback, target, earlier):
    """And what an earlier run has fetched is not lost to a log-in page."""
    target.parent.mkdir()
    if earlier:
        target.with_name("x.zip.part").write_bytes(earlier)
    loopback.manners = [("page", "<!DOCTYPE html><html>Please log in</html>")]
    with pytest.raises(DownloadError, match=r"x\.zip: the server sent text/html \(a web page.*instead of a \.zip"):
        get(loopback, target)
    assert len(loopback.requests) == 1
    assert not target.exists() and left(target) == (["x.zip.part"] if earlier else [])
    loopback.manners = ["good"]
    get(loopback, target)


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_refusal_is_not_repeated(loopback, target, status):
    loopback.manners = [("status", status)]
    with pytest.raises(DownloadError, match=rf"/x\.zip: the server answered {status}"):
        get(loopback, target)
    assert len(loopback.requests) == 1
    assert not target.exists() and left(target) == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_is_asked_again(loopback, target, status):
    loopback.manners = [("status", status), ("status", status), "good"]
    get(loopback, target)
    assert len(loopback.requests) == 3


def test_wrong_content_is_not_kept(loopback, target):
    loopback.files["/x.zip"] = BODY[:-1] + b"?"
    with pytest.raises(DownloadError, match=r"not the data set: .*wrong content; nothing was kept"):
        get(loopback, target)
    assert not target.exists() and left(target) == []


@pytest.mark.parametrize("earlier", [b"PK\x03\x04" + bytes(1000), bytes(len(BODY)), bytes(len(BODY) + 5)])
def test_what_an_earlier_run_left_damaged_is_fetched_again(loopback, target, earlier):
    target.parent.mkdir()
    target.with_name("x.zip.part").write_bytes(earlier)
    get(loopback, target)


def test_what_an_earlier_run_left_whole_is_not_fetched_again(loopback, target):
    target.parent.mkdir()
    target.with_name("x.zip.part").write_bytes(BODY)
    get(loopback, target)
    assert loopback.sent == 0


def test_two_at_once_fetch_once(loopback, target):
    loopback.manners = [("stall", 100_000), "good"]
    threads = [threading.Thread(target=get, args=(loopback, target, IMPATIENT)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert target.read_bytes() == BODY
    assert loopback.sent < len(BODY) + CHUNK


def test_no_server_fails_soon(tmp_path, no_proxy):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/x.zip"
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"x\.zip: could not be fetched \(no answer: .*refused"):
        fetch(url, tmp_path / "x.zip", check, QUICK)
    assert time.monotonic() - start < 5


def test_an_address_that_is_none_is_named(tmp_path):
    with pytest.raises(DownloadError, match=r"no-scheme/x\.zip"):
        fetch("no-scheme/x.zip", tmp_path / "x.zip", check, QUICK)


def test_a_full_disk_is_named(loopback, target):
    target.parent.mkdir()
    target.with_name("x.zip.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"x\.zip\.part: cannot be written \(No space left"):
        get(loopback, target)
    assert not target.exists()


def test_a_folder_that_cannot_be_made_is_named(loopback, target):
    target.parent.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"x\.zip: cannot be written"):
        get(loopback, target)


def test_whether_an_address_is_reachable_is_known_in_time(loopback):
    assert reachable(loopback.url, 5)
    loopback.manners = [("status", 404)]
    assert reachable(loopback.url, 5)
    with socket.socket() as silent:  # accepts connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        assert not reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.5)
        assert time.monotonic() - start < 2


def serve(loopback, release, folder):
    for path in release.write_zips(folder).glob("*.zip"):
        loopback.files[f"/{path.name}"] = path.read_bytes()


def test_a_release_is_fetched_and_verified_by_content(loopback, release, tmp_path):
    serve(loopback, release, tmp_path / "server")
    (tmp_path / "data").mkdir()
    loopback.manners = [("short", 500), "good"]
    found = obtain(tmp_path / "data", loopback.url + "/", QUICK, release.parts)
    assert found == {
        split: tmp_path / "data" / "omniglot" / f"images_{split}.zip" for split in ("background", "evaluation")
    }
    bank = read_bank(found, tmp_path / "cache", release.parts)
    assert bank.images.shape[:2] == (5, 20)
    asked = len(loopback.requests)
    assert obtain(tmp_path / "data", loopback.url, QUICK, release.parts) == found
    assert len(loopback.requests) == asked  # what is there is not fetched again


def test_only_the_part_that_is_missing_is_fetched_beside_the_other(loopback, release, tmp_path):
    serve(loopback, release, tmp_path / "server")
    folder = release.write_zips(tmp_path / "data" / "python")
    (folder / "images_background.zip").unlink()
    obtain(tmp_path / "data", loopback.url, QUICK, release.parts)
    assert [path for _, path, _ in loopback.requests] == ["/images_background.zip"]
    assert locate(tmp_path / "data", release.parts) == {
        split: folder / f"images_{split}.zip" for split in ("background", "evaluation")
    }


@pytest.mark.parametrize("damage", ["another picture", "a class less"])
def test_a_release_with_other_pictures_is_not_kept(loopback, release, tmp_path, damage):
    name = "images_evaluation/Gamma/character02/0005_03.png"
    if damage == "another picture":
        release.files[name] = release.files[name.replace("_03", "_04")]
    else:
        release.files = {k: v for k, v in release.files.items() if "Gamma/character02" not in k}
    serve(loopback, release, tmp_path / "server")
    (tmp_path / "data").mkdir()
    with pytest.raises(DownloadError, match=r"images_evaluation\.zip: what came is not the data set"):
        obtain(tmp_path / "data", loopback.url, QUICK, release.parts)
    assert [p.name for p in (tmp_path / "data" / "omniglot").glob("images*")] == ["images_background.zip"]


def test_the_address_can_be_named_by_a_variable(loopback, release, tmp_path, monkeypatch):
    serve(loopback, release, tmp_path / "server" / "mirror")
    loopback.files = {f"/mirror{path}": data for path, data in loopback.files.items()}
    monkeypatch.setenv("TFMETA_OMNIGLOT_URL", f"{loopback.url}/mirror")
    (tmp_path / "data").mkdir()
    assert len(obtain(tmp_path / "data", patience=QUICK, parts=release.parts)) == 2
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["omniglot"]
