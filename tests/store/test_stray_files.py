"""Files that are not ours, or may not be read, among those of a run: they are left alone, or named in a sentence."""

import numpy as np
import pytest
from privileges import as_nobody, reachable_by_all

import tfmeta
from tfmeta.errors import ResultError
from tfmeta.store import results
from tfmeta.store.reuse import StoredFiles

STRAY = ("round-x.npz", "fine_tuning-a.json.bak", "fine_tuning-d.json", "fine_tuning-a.npz~", "notes.txt", "-a.jso")


@pytest.fixture
def written(tmp_path, made):
    return results.write(tmp_path / "run", *made())


def test_files_and_folders_that_are_not_ours_are_left_alone(written):
    frame = tfmeta.load_results(written.parent)
    for folder in (written.parent, written.parent / "parts", written.parent / "models" / "x"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in STRAY:
            (folder / name).write_bytes(b"mine")
        (folder / "a_folder-a.json").mkdir()
    assert tfmeta.load_results(written.parent).equals(frame)
    assert results.read(written)["case"] == "a"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is truncated or damaged"), (b'{"my": 1}', "is not a result of tfmeta"), (b"\x00\xff", "is truncated")],
)
def test_a_file_that_is_called_like_a_result_is_named(written, content, words):
    other = written.with_name("my-a.json")
    other.write_bytes(content)
    with pytest.raises(ResultError, match=words) as raised:
        tfmeta.load_results(written.parent)
    assert str(other) in str(raised.value)


def test_a_result_under_another_results_name_is_refused(written):
    for suffix in (".json", ".npz"):
        written.with_name(f"fine_tuning-b{suffix}").write_bytes(written.with_suffix(suffix).read_bytes())
    with pytest.raises(ResultError, match=r"fine_tuning-b\.json holds the result fine_tuning-a\.json"):
        results.read(written.with_name("fine_tuning-b.json"))


def test_a_broken_link_is_named(written):
    written.with_name("my-a.json").symlink_to(written.with_name("gone"))
    with pytest.raises(ResultError, match=r"my-a\.json is missing"):
        tfmeta.load_results(written.parent)


@pytest.fixture
def part(tmp_path):
    path = tmp_path / "run" / "parts" / "known.npz"
    StoredFiles().save(path, {"a": np.ones(3)}, {"part": "known"})
    return path


def test_a_result_that_may_not_be_read_is_named(tmp_path, written):
    reachable_by_all(tmp_path)
    results.read(written)  # imports what nobody may not read
    written.chmod(0)
    for read in (lambda: results.read(written), lambda: tfmeta.load_results(tmp_path)):
        with as_nobody(), pytest.raises(ResultError, match=r"fine_tuning-a\.json cannot be read \(Permission denied\)"):
            read()


def test_a_stored_file_that_may_not_be_read_is_named(tmp_path, part):
    reachable_by_all(tmp_path)
    for closed in (part, part.parent):
        closed.chmod(0)
        with as_nobody(), pytest.raises(ResultError, match=r"known\.npz cannot be read \(Permission denied\)"):
            StoredFiles().load(part, {"part": "known"})
        closed.chmod(0o755)


def test_a_folder_that_may_not_be_read_is_named_and_not_left_out_of_a_table(tmp_path, written, part):
    reachable_by_all(tmp_path)
    assert len(tfmeta.load_results(tmp_path)) == 6
    part.parent.chmod(0)
    with as_nobody(), pytest.raises(ResultError, match=r"parts cannot be read \(Permission denied\)"):
        tfmeta.load_results(tmp_path)


def test_a_folder_in_the_place_of_a_stored_file_is_named(tmp_path, written):
    path = tmp_path / "known.npz"
    path.mkdir()
    with pytest.raises(ResultError, match=r"known\.npz cannot be read \(Is a directory\)"):
        StoredFiles().load(path, {"part": "known"})
    written.with_suffix(".npz").unlink()
    written.with_suffix(".npz").mkdir()
    with pytest.raises(ResultError, match=r"fine_tuning-a\.npz cannot be read \(Is a directory\)"):
        results.read(written)
