"""Omniglot's release is downloaded, and verified by its content or its hash."""

import dataclasses
import hashlib

import pytest

from tfmeta.datasets.omniglot import release as omniglot
from tfmeta.datasets.omniglot.layout import PARTS
from tfmeta.datasets.omniglot.reader import read_bank
from tfmeta.datasets.omniglot.release import locate, obtain
from tfmeta.errors import DownloadError

QUICK = {"retries": 2, "timeout": (20, 20)}  # requests are counted, so a busy machine must not cause a time-out


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
