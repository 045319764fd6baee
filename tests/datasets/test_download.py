import dataclasses
import hashlib
import resource
import socket
import threading
import time

import numpy as np
import pytest

from tfmeta.datasets.download import fetch
from tfmeta.datasets.omniglot import release as omniglot
from tfmeta.datasets.omniglot.layout import PARTS
from tfmeta.datasets.omniglot.reader import read_bank
from tfmeta.datasets.omniglot.release import locate, obtain, reachable
from tfmeta.errors import DataError, DownloadError, StorageError

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


def test_a_file_is_downloaded_whole_and_readable_by_others(loopback, target, capfd):
    get(loopback, target)
    assert loopback.requests == [("GET", "/x.zip")]
    assert target.stat().st_mode & 0o777 == 0o644
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


def serve(loopback, release, folder):
    for path in release.write_zips(folder).glob("*.zip"):
        loopback.files[f"/{path.name}"] = path.read_bytes()


def test_a_mirrors_release_is_verified_by_content(loopback, release, tmp_path):
    serve(loopback, release, tmp_path / "server")
    (tmp_path / "data").mkdir()
    loopback.manners = [("short", 500), "good"]
    found = obtain(tmp_path / "data", loopback.url + "/", release.parts, **QUICK)
    assert found == {
        split: tmp_path / "data" / "omniglot" / f"images_{split}.zip" for split in ("background", "evaluation")
    }
    bank = read_bank(found, tmp_path / "cache", release.parts)
    assert bank.images.shape[:2] == (5, 20)
    before = len(loopback.requests)
    assert obtain(tmp_path / "data", loopback.url, release.parts, **QUICK) == found
    assert len(loopback.requests) == before  # what is there is not downloaded again


def test_the_public_release_is_verified_by_its_sha256(loopback, release, tmp_path, monkeypatch):
    """A zip with the right images but another hash is not the public file."""
    serve(loopback, release, tmp_path / "server")
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(omniglot, "PUBLIC", loopback.url)
    monkeypatch.delenv("TFMETA_OMNIGLOT_URL", raising=False)
    with pytest.raises(DownloadError, match="its sha256 is not that of the public release"):
        obtain(tmp_path / "data", parts=[dataclasses.replace(release.parts[0], sha256="0" * 64)], retries=0)
    hashes = [hashlib.sha256(loopback.files[f"/{part.folder}.zip"]).hexdigest() for part in release.parts]
    parts = [dataclasses.replace(part, sha256=known) for part, known in zip(release.parts, hashes, strict=True)]
    assert len(obtain(tmp_path / "data", parts=parts, **QUICK)) == 2


def test_the_hashes_of_the_public_release_are_known():
    assert [len(bytes.fromhex(part.sha256)) for part in PARTS] == [32, 32]


def test_only_the_missing_part_is_downloaded_beside_the_other(loopback, release, tmp_path):
    serve(loopback, release, tmp_path / "server")
    folder = release.write_zips(tmp_path / "data" / "python")
    (folder / "images_background.zip").unlink()
    obtain(tmp_path / "data", loopback.url, release.parts, **QUICK)
    assert [path for _, path in loopback.requests] == ["/images_background.zip"]
    assert locate(tmp_path / "data", release.parts) == {
        split: folder / f"images_{split}.zip" for split in ("background", "evaluation")
    }


@pytest.mark.parametrize("damage", ["another image", "a missing class"])
def test_a_mirrors_release_with_other_images_is_not_kept(loopback, release, tmp_path, damage):
    name = "images_evaluation/Gamma/character02/0005_03.png"
    if damage == "another image":
        release.files[name] = release.files[name.replace("_03", "_04")]
    else:
        release.files = {k: v for k, v in release.files.items() if "Gamma/character02" not in k}
    serve(loopback, release, tmp_path / "server")
    (tmp_path / "data").mkdir()
    with pytest.raises(DownloadError, match=r"images_evaluation\.zip: .*nothing was kept"):
        obtain(tmp_path / "data", loopback.url, release.parts, **QUICK)
    assert [path.name for path in (tmp_path / "data" / "omniglot").glob("images*")] == ["images_background.zip"]


def test_the_address_can_be_set_by_a_variable(loopback, release, tmp_path, monkeypatch):
    serve(loopback, release, tmp_path / "server" / "mirror")
    loopback.files = {f"/mirror{path}": data for path, data in loopback.files.items()}
    monkeypatch.setenv("TFMETA_OMNIGLOT_URL", f"{loopback.url}/mirror")
    (tmp_path / "data").mkdir()
    assert len(obtain(tmp_path / "data", parts=release.parts, **QUICK)) == 2
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["omniglot"]
