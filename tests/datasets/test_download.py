import hashlib
import os
import resource
import socket
import threading
import time

import numpy as np
import pytest

from tfmeta.datasets import download
from tfmeta.datasets.download import fetch
from tfmeta.datasets.omniglot.release import reachable
from tfmeta.errors import DataError, DownloadError, StorageError

pytestmark = pytest.mark.slow  # together they take longer than test-fast can afford

QUICK = {"retries": 2, "timeout": (20, 20)}  # requests are counted, so a busy machine must not cause a time-out
IMPATIENT = {"retries": 1, "timeout": (0.5, 0.5)}  # for servers that send nothing
BODY = b"PK\x03\x04" + np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def target(tmp_path, loopback):
    loopback.files["/x.zip"] = BODY
    return tmp_path / "data" / "x.zip"


def get(loopback, target, known_hash=SHA256, **options):
    fetch(f"{loopback.url}/x.zip", target, known_hash, **{**QUICK, **options})
    assert target.read_bytes() == BODY
    assert left(target) == []


def left(target):
    """What lies beside the target, except the lock."""
    return sorted(path.name for path in target.parent.iterdir() if path != target and path.suffix != ".lock")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_file_is_downloaded_whole_and_readable_by_those_the_umask_allows(loopback, target, capfd, umask, mode):
    before = os.umask(umask)
    try:
        get(loopback, target)
    finally:
        os.umask(before)
    assert loopback.requests == [("GET", "/x.zip")]
    assert target.stat().st_mode & 0o777 == mode
    assert capfd.readouterr().err == ""  # no progress bar without a terminal


@pytest.mark.slow
def test_a_broken_connection_is_retried(loopback, target):
    loopback.manners = [("short", 100_000), ("short", 50_000), "good"]
    get(loopback, target)
    assert len(loopback.requests) == 3


@pytest.mark.slow
def test_a_connection_that_always_breaks_fails_and_leaves_nothing(loopback, target):
    loopback.manners = [("short", 100_000)]
    with pytest.raises(DownloadError, match=r"/x\.zip: could not be downloaded"):
        get(loopback, target)
    assert not target.exists() and left(target) == []
    assert len(loopback.requests) == 1 + QUICK["retries"]


def test_a_server_that_stops_sending_is_retried(loopback, target):
    loopback.manners = [("stall", 100_000), "good"]
    get(loopback, target, **IMPATIENT)
    assert len(loopback.requests) == 2


@pytest.mark.slow
def test_a_server_that_always_stops_sending_fails_in_time(loopback, target):
    loopback.manners = [("stall", 0)]
    start = time.monotonic()
    with pytest.raises(DownloadError, match="timed out"):
        get(loopback, target, **IMPATIENT)
    assert time.monotonic() - start < 10
    assert not target.exists() and left(target) == []


def test_a_web_page_instead_of_a_zip_is_refused_at_once(loopback, target):
    loopback.manners = [("page", "<!DOCTYPE html><html>Please log in</html>")]
    with pytest.raises(DownloadError, match=r"/x\.zip: .*a web page.*log-in"):
        get(loopback, target)
    assert len(loopback.requests) == 1
    assert not target.exists() and left(target) == []
    loopback.manners = ["good"]
    get(loopback, target)


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_refusal_is_not_retried(loopback, target, status):
    loopback.manners = [("status", status)]
    with pytest.raises(DownloadError, match=rf"/x\.zip: .*the server answered {status}.*TFMETA_OMNIGLOT_URL"):
        get(loopback, target)
    assert len(loopback.requests) == 1
    assert not target.exists() and left(target) == []


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_is_asked_again(loopback, target, status):
    loopback.manners = [("status", status), "good"]
    get(loopback, target)
    assert len(loopback.requests) == 2


@pytest.mark.slow
def test_a_file_with_another_hash_is_not_kept(loopback, target):
    loopback.files["/x.zip"] = BODY[:-1] + b"?"
    with pytest.raises(DownloadError, match=r"/x\.zip: .*its sha256 is not that of the public release"):
        get(loopback, target)
    assert not target.exists() and left(target) == []


def test_a_file_with_other_content_is_not_kept(loopback, target):
    def check(path):
        assert path.read_bytes() == BODY and not target.exists()
        raise DataError(f"{path}: wrong content")

    with pytest.raises(DownloadError, match=r"/x\.zip: .*wrong content.*nothing was kept"):
        get(loopback, target, None, check=check)
    assert len(loopback.requests) == 1
    assert not target.exists() and left(target) == []


def test_an_endless_file_is_stopped_and_not_kept(loopback, target, monkeypatch):
    monkeypatch.setattr(download, "LARGEST", 4 << 20)
    loopback.manners = ["endless"]
    with pytest.raises(DownloadError, match=r"/x\.zip: .*the file is larger than 4 MB.*nothing was kept"):
        get(loopback, target)
    assert len(loopback.requests) == 1 and loopback.hung_up.wait(20)
    assert not target.exists() and left(target) == []


def test_a_file_said_to_be_too_large_is_refused_at_once(loopback, target):
    loopback.manners = [("claim", (256 << 20) + 1)]
    with pytest.raises(DownloadError, match=r"/x\.zip: .*the file is larger than 256 MB.*nothing was kept"):
        get(loopback, target)
    assert len(loopback.requests) == 1
    assert not target.exists() and left(target) == []


def test_a_file_of_no_stated_length_is_downloaded(loopback, target):
    loopback.manners = ["unstated"]
    get(loopback, target)


def test_a_file_is_on_the_disk_before_it_gets_its_name(loopback, target, monkeypatch):
    synced, fsync = [], os.fsync

    def record(descriptor):
        assert not target.exists()
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    get(loopback, target)
    assert target.stat().st_ino in synced


def test_what_a_killed_process_left_does_no_harm(loopback, target):
    remains = target.with_name(".x.zip.download")
    remains.mkdir(parents=True)
    (remains / "tmp1234").write_bytes(BODY[:1000])
    (remains / "x.zip").write_bytes(b"of another release")
    get(loopback, target)


def test_a_file_that_is_there_is_not_downloaded(loopback, target):
    get(loopback, target)
    get(loopback, target)
    assert len(loopback.requests) == 1


def test_of_two_at_once_one_downloads_and_the_other_waits(loopback, target):
    loopback.manners = [("stall", 100_000), "good"]
    threads = [threading.Thread(target=get, args=(loopback, target), kwargs=IMPATIENT) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert target.read_bytes() == BODY
    assert len(loopback.requests) == 2  # one that breaks off and one that is whole


def test_a_missing_server_is_named_soon(tmp_path, no_proxy):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/x.zip"
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"x\.zip: could not be downloaded \(.*refused\)"):
        fetch(url, tmp_path / "x.zip", retries=1)
    assert time.monotonic() - start < 5


def test_an_invalid_address_is_named(tmp_path):
    with pytest.raises(DownloadError, match=r"no-scheme/x\.zip"):
        fetch("no-scheme/x.zip", tmp_path / "x.zip", retries=0)


def test_a_full_disk_is_named(loopback, target):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"x\.zip: cannot be written \(File too large\).*DATA_DIR"):
            get(loopback, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not target.exists() and left(target) == []


def test_a_folder_that_cannot_be_made_is_named(loopback, target):
    target.parent.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"x\.zip: cannot be written"):
        get(loopback, target)


def test_whether_an_address_answers_is_known_in_time(loopback):
    assert reachable(loopback.url, 5)
    loopback.manners = [("status", 404)]
    assert reachable(loopback.url, 5)
    with socket.socket() as silent:  # accepts connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        assert not reachable(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.5)
        assert time.monotonic() - start < 2
