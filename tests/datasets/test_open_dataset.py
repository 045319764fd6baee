import dataclasses
import logging
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from privileges import as_nobody, reachable_by_all

import tfmeta.datasets
from tfmeta.datasets import default_cache_dir, omniglot, open_dataset
from tfmeta.datasets.omniglot.release import locate
from tfmeta.errors import ConfigError, DataError, DownloadError, StorageError


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch):
    monkeypatch.delenv("TFMETA_DATA", raising=False)
    monkeypatch.delenv("TFMETA_OMNIGLOT_URL", raising=False)


@pytest.fixture
def nowhere(monkeypatch, no_proxy):
    """A public address that refuses connections, as on a machine without a network."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("TFMETA_OMNIGLOT_URL", url)
    return url


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("name", ["", "mnist", "Omniglot", "AUTO"])
def test_an_unknown_name_lists_the_known_ones(name, tmp_path):
    known = "auto, glyphs, glyphs-color, image-folder, mini-imagenet, omniglot"
    with pytest.raises(ConfigError, match=rf"unknown data set '{name}': .*{known}"):
        open_dataset(name, tmp_path, tmp_path)


@pytest.mark.parametrize("name", ["auto", "omniglot"])
class TestDataDir:
    """A bad folder that the user named is an error, for `auto` too."""

    def test_a_missing_folder_is_named(self, name, tmp_path, nowhere):
        with pytest.raises(DataError, match=r"typo: this data folder does not exist; .*DATA_DIR .*--data-dir"):
            open_dataset(name, tmp_path / "typo", tmp_path / "cache")
        assert not (tmp_path / "typo").exists()

    def test_a_missing_folder_that_the_variable_names_is_named(self, name, tmp_path, nowhere, monkeypatch):
        monkeypatch.setenv("TFMETA_DATA", str(tmp_path / "typo"))
        with pytest.raises(DataError, match="typo: this data folder does not exist"):
            open_dataset(name, cache_dir=tmp_path / "cache")

    def test_a_file_instead_of_a_folder_is_named(self, name, tmp_path, nowhere):
        (tmp_path / "file").write_text("")
        with pytest.raises(DataError, match=r"file: is a file; DATA_DIR"):
            open_dataset(name, tmp_path / "file", tmp_path / "cache")

    @pytest.mark.parametrize("locked", [".", "omniglot"])
    def test_an_unreadable_folder_is_named(self, name, tmp_path, nowhere, locked):
        reachable_by_all(tmp_path)
        folder = tmp_path / "data" / locked
        folder.mkdir(parents=True)
        folder.chmod(0)
        try:
            with as_nobody(), pytest.raises(DataError, match=rf"{folder}: cannot be read \(Permission denied\)"):
                open_dataset(name, tmp_path / "data", tmp_path / "cache")
        finally:
            folder.chmod(0o755)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"<!DOCTYPE html><html>", "images_background.zip: is a web page"),
            (b"PK\x03\x04" + bytes(5000), "images_background.zip: truncated or damaged"),
            (b"", "images_background.zip: is not a zip"),
        ],
    )
    def test_a_damaged_zip_is_named(self, name, tmp_path, nowhere, content, message):
        for part in ("background", "evaluation"):
            (tmp_path / f"images_{part}.zip").write_bytes(content)
        with pytest.raises(DataError, match=message):
            open_dataset(name, tmp_path, tmp_path / "cache")


def test_an_empty_folder_and_no_download_is_an_error(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=r"data: no Omniglot here .*images_background"):
        open_dataset("omniglot", tmp_path / "data", tmp_path / "cache", download=False)


@pytest.mark.slow
def test_an_empty_folder_and_no_network_is_an_error(tmp_path, nowhere):
    (tmp_path / "data").mkdir()
    with pytest.raises(DownloadError, match=r"images_background\.zip: could not be downloaded"):
        open_dataset("omniglot", tmp_path / "data", tmp_path / "cache")


def test_one_part_is_not_enough_for_auto_either(tmp_path, nowhere, glyphs_bank, cache_dir, caplog):
    (tmp_path / "images_background.zip").write_bytes(b"PK")
    assert open_dataset("auto", tmp_path, cache_dir).dataset == "glyphs"
    assert "NO REAL OMNIGLOT" in "".join(warnings(caplog))


@pytest.mark.parametrize("download", [True, False])
def test_auto_falls_back_to_glyphs_within_seconds_with_a_warning(
    tmp_path, nowhere, glyphs_bank, cache_dir, caplog, download
):
    start = time.monotonic()
    bank = open_dataset("auto", tmp_path, cache_dir, download)
    assert time.monotonic() - start < 5
    assert bank.dataset == "glyphs" and bank.digest == glyphs_bank.digest
    (warning,) = warnings(caplog)
    assert "NO REAL OMNIGLOT" in warning and "GLYPHS" in warning and str(tmp_path) in warning
    assert (nowhere in warning) is download
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_auto_does_not_wait_for_a_silent_server(tmp_path, glyphs_bank, cache_dir, caplog, monkeypatch, no_proxy):
    with socket.socket() as silent:  # as behind a firewall: accepts connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("TFMETA_OMNIGLOT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        assert open_dataset("auto", tmp_path, cache_dir).dataset == "glyphs"
        assert time.monotonic() - start < omniglot.PROBE_SECONDS + 3


def test_auto_falls_back_where_the_server_sends_a_log_in_page(
    loopback, tmp_path, glyphs_bank, cache_dir, caplog, monkeypatch
):
    loopback.manners = [("page", "<html>Welcome to our hotel</html>")]
    monkeypatch.setenv("TFMETA_OMNIGLOT_URL", loopback.url)
    assert open_dataset("auto", tmp_path, cache_dir).dataset == "glyphs"
    (warning,) = warnings(caplog)
    assert "a web page" in warning


@pytest.mark.slow
def test_without_a_data_folder_downloads_go_to_the_cache(tmp_path, nowhere, monkeypatch):
    monkeypatch.setenv("TFMETA_CACHE", str(tmp_path / "cache"))
    assert default_cache_dir() == tmp_path / "cache"
    with pytest.raises(DownloadError):
        open_dataset("omniglot")
    assert (tmp_path / "cache" / "data" / "omniglot").is_dir()


def test_a_cache_that_cannot_be_made_is_named(tmp_path, nowhere):
    (tmp_path / "cache").write_text("")
    for name in ("auto", "glyphs"):
        with pytest.raises(StorageError, match=r"cache.*TFMETA_CACHE"):
            open_dataset(name, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("variable", ["TFMETA_CACHE", "TFMETA_DATA"])
def test_an_unknown_home_folder_is_named(tmp_path, monkeypatch, variable):
    monkeypatch.setenv("TFMETA_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="~nobody-of-that-name/x: there is no such home folder"):
        open_dataset("mini-imagenet", "~nobody-of-that-name/x")
    monkeypatch.setenv(variable, "~nobody-of-that-name/x")
    with pytest.raises(ConfigError, match="~nobody-of-that-name/x: there is no such home folder"):
        open_dataset("mini-imagenet")


def test_the_default_cache_is_the_systems(monkeypatch):
    monkeypatch.setenv("TFMETA_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache_dir() == Path("/somewhere/tfmeta")


def test_neither_tensorflow_nor_matplotlib_is_loaded(tmp_path):
    code = (
        "import sys, tfmeta.datasets, tfmeta.datasets.omniglot.release, tfmeta.datasets.glyphs.drawing\n"
        "import tfmeta.datasets.download, tfmeta.datasets.mini_imagenet.reader\n"
        "import tfmeta.datasets.glyphs_color.drawing, tfmeta.datasets.partition\n"
        "assert not {'tensorflow', 'tensorflow_federated', 'matplotlib'} & set(sys.modules), sys.modules.keys()"
    )
    root = Path(tfmeta.datasets.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def stand_in(monkeypatch, glyphs_bank):
    """Glyphs-color, without the half minute that drawing it takes."""
    from tfmeta.datasets.glyphs_color import drawing

    bank = dataclasses.replace(glyphs_bank, dataset="glyphs-color")
    monkeypatch.setattr(drawing, "read_bank", lambda cache_dir: bank)
    return bank


@pytest.mark.parametrize("download", [True, False])
def test_auto_in_colour_falls_back_to_glyphs_color_with_a_warning(tmp_path, stand_in, caplog, download):
    assert open_dataset("auto", tmp_path, tmp_path / "cache", download, paper_dataset="mini-imagenet") is stand_in
    (warning,) = warnings(caplog)
    assert "NO REAL MINI-IMAGENET" in warning and "GLYPHS-COLOR" in warning and str(tmp_path) in warning


def test_missing_mini_imagenet_is_an_error(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=r"data: no mini-ImageNet here .*train\.csv.*cannot be downloaded"):
        open_dataset("mini-imagenet", tmp_path / "data", tmp_path / "cache")


@pytest.mark.parametrize("name", ["auto", "mini-imagenet"])
def test_a_wrong_folder_or_damaged_photos_are_an_error_for_auto_too(name, tmp_path, stand_in):
    with pytest.raises(DataError, match="typo: this data folder does not exist"):
        open_dataset(name, tmp_path / "typo", tmp_path / "cache", paper_dataset="mini-imagenet")
    folder = tmp_path / "data" / "mini-imagenet"
    folder.mkdir(parents=True)
    (folder / "mini-imagenet-cache-train.pkl").write_bytes(b"<html>quota exceeded</html>")
    with pytest.raises(DataError, match=r"the file of the val split is missing"):
        open_dataset(name, tmp_path / "data", tmp_path / "cache", paper_dataset="mini-imagenet")
    for split in ("val", "test"):
        (folder / f"mini-imagenet-cache-{split}.pkl").write_bytes(b"")
    with pytest.raises(DataError, match=r"cache-train\.pkl: is a web page"):
        open_dataset(name, tmp_path / "data", tmp_path / "cache", paper_dataset="mini-imagenet")


@pytest.mark.needs_data
def test_auto_in_colour_opens_real_photos(data_dir, cache_dir, mini_imagenet_bank, caplog):
    bank = open_dataset("auto", data_dir, cache_dir, paper_dataset="mini-imagenet")
    assert bank.dataset == "mini-imagenet" and bank.digest == mini_imagenet_bank.digest
    assert warnings(caplog) == []


@pytest.mark.needs_data
def test_auto_opens_real_data(data_dir, cache_dir, omniglot_bank, nowhere, caplog, monkeypatch):
    monkeypatch.setenv("TFMETA_DATA", str(data_dir))
    bank = open_dataset("auto", cache_dir=cache_dir)
    assert bank.dataset == "omniglot" and bank.digest == omniglot_bank.digest
    assert warnings(caplog) == []


@pytest.mark.slow
@pytest.mark.needs_data
def test_auto_downloads_the_whole_release(data_dir, omniglot_bank, loopback, tmp_path, monkeypatch, caplog):
    found = locate(data_dir)
    if not all(path.suffix == ".zip" for path in found.values()):
        pytest.skip("TFMETA_DATA holds Omniglot as folders, not as zips")
    loopback.files = {f"/{path.name}": path.read_bytes() for path in found.values()}
    loopback.manners = ["good", ("short", 3_000_000), "good"]  # HEAD, then the connection breaks in the first file
    monkeypatch.setenv("TFMETA_OMNIGLOT_URL", loopback.url)
    monkeypatch.setenv("TFMETA_CACHE", str(tmp_path))
    bank = open_dataset("auto")
    assert bank.dataset == "omniglot" and bank.digest == omniglot_bank.digest
    assert warnings(caplog) == []
    fetched = tmp_path / "data" / "omniglot"
    assert sorted(p.name for p in fetched.glob("images*")) == ["images_background.zip", "images_evaluation.zip"]
    assert [method for method, _ in loopback.requests] == ["HEAD", "GET", "GET", "GET"]
