"""Checkpoints: the same content gives the same bytes, and only what was saved is loaded."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmeta.errors import ResultError
from tfmeta.store import checkpoints

ARRAYS = {
    "w/0": np.arange(60, dtype=np.float32).reshape(3, 4, 5),
    "b": np.zeros((0, 3), np.float64),
    "step": np.int64(7),
    "names": np.array(["a", "bc"]),
    "file": np.array([True, False]),  # a name that numpy.savez cannot take
}
MANIFEST = {"round": 3, "digest": "ab" * 32, "fields": {"alpha": 0.001, "ways": 5, "shape": (28, 28, 1)}}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "round3.npz"
    checkpoints.save(path, ARRAYS, MANIFEST)
    return path


def test_arrays_are_loaded_as_they_were_saved(saved):
    loaded = checkpoints.load(saved, MANIFEST).arrays
    assert loaded.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert loaded[name].dtype == array.dtype and loaded[name].shape == array.shape
        np.testing.assert_array_equal(loaded[name], array)


def test_order_and_day_do_not_change_the_bytes(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 2e9)
    reordered = dict(reversed(ARRAYS.items()))
    checkpoints.save(tmp_path / "again.npz", reordered, json.loads(json.dumps(MANIFEST, sort_keys=True)))
    assert (tmp_path / "again.npz").read_bytes() == saved.read_bytes()


def test_numpy_and_zip_programs_can_read_a_checkpoint(saved):
    with np.load(saved) as archive:
        np.testing.assert_array_equal(archive["w/0"], ARRAYS["w/0"])
    with zipfile.ZipFile(saved) as archive:
        assert json.loads(archive.read("manifest.json"))["manifest"]["fields"]["ways"] == 5


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({**MANIFEST, "round": 4}, "round is 3 there and 4 here"),
        ({**MANIFEST, "fields": {**MANIFEST["fields"], "alpha": 0.01}}, "fields.alpha is 0.001 there and 0.01 here"),
        ({**MANIFEST, "seed": 1}, "seed is absent there and 1 here"),
        ({"round": 3, "fields": MANIFEST["fields"]}, f'digest is "{"ab" * 32}'[:40]),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused(saved, other, words):
    with pytest.raises(ResultError) as raised:
        checkpoints.load(saved, other)
    assert str(saved) in str(raised.value) and words in str(raised.value) and "Delete it" in str(raised.value)


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a checkpoint was unpickled",))


def pickled():
    data = io.BytesIO()
    np.lib.format.write_array(data, np.array([Bomb()], object), allow_pickle=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            "manifest.json", json.dumps({"format": checkpoints.FORMAT, "manifest": MANIFEST}, default=list)
        )
        archive.writestr("w.npy", data.getvalue())
    return buffer.getvalue()


def huge():
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"shape": (10**15,), "fortran_order": False, "descr": "<f8"})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("w.npy", header.getvalue() + bytes(8))
    return buffer.getvalue()


def packed():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, w=np.zeros(1 << 20))
    return buffer.getvalue()


def shared():
    """Two entries of the list of files for one array, as a small zip can hold endless data."""
    data = npz(a=np.zeros(1 << 10))
    start = data.index(b"PK\1\2")
    entry, end = data[start:-22], bytearray(data[-22:])
    struct.pack_into("<2HI", end, 8, 2, 2, 2 * len(entry))
    return data[:start] + entry + entry.replace(b"a.npy", b"b.npy") + end


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not an npz file"),
        (b"<html>sorry</html>", "is not an npz file"),
        (bytes(range(256)) * 40, "is not an npz file"),
        (pickle.dumps(Bomb()), "is not an npz file"),
        (npz(w=np.ones(3)), "is not a checkpoint of tfmeta"),
        (pickled(), "Object arrays cannot be loaded"),
        (huge(), "is truncated or damaged"),
        (packed(), "its arrays are packed"),
        (shared(), "claim more bytes than it has"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, data, words):
    path = tmp_path / "strange.npz"
    path.write_bytes(data)
    with pytest.raises(ResultError) as raised:
        checkpoints.load(path, MANIFEST)
    assert str(path) in str(raised.value) and words in str(raised.value) and "Delete it" in str(raised.value)


def test_a_checkpoint_of_another_version_is_refused(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT", "tfmeta-checkpoint-0")
    checkpoints.save(tmp_path / "old.npz", ARRAYS, MANIFEST)
    monkeypatch.undo()
    with pytest.raises(ResultError, match=r"another version \('tfmeta-checkpoint-0'"):
        checkpoints.load(tmp_path / "old.npz", MANIFEST)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(ResultError, match=r"nowhere\.npz is missing"):
        checkpoints.load(tmp_path / "nowhere.npz", MANIFEST)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_are_refused_or_harmless(tmp_path_factory, data):
    """Cut anywhere: refused. Any byte changed: refused, or (zip's unused bytes) the content is what it was."""
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    checkpoints.save(path, ARRAYS, MANIFEST)
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:place])
        with pytest.raises(ResultError, match=r"damaged\.npz"):
            checkpoints.load(path, MANIFEST)
        return
    flipped = bytearray(whole)
    flipped[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(flipped)
    try:
        loaded = checkpoints.load(path, MANIFEST).arrays
    except ResultError as error:
        assert "damaged.npz" in str(error)
        return
    assert loaded.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(loaded[name], array)


def test_a_damaged_directory_loses_no_array(saved):
    """A raised comment length hides the entries behind it; every checksum that is left is right."""
    whole = bytearray(saved.read_bytes())
    entry = whole.index(b"PK\x01\x02", whole.index(b"PK\x01\x02") + 1)  # the second entry is the first array's
    whole[entry + 32 : entry + 34] = (0xFFFF).to_bytes(2, "little")
    saved.write_bytes(whole)
    with zipfile.ZipFile(saved) as archive:
        assert 1 < len(archive.namelist()) < 1 + len(ARRAYS) and archive.testzip() is None
    with pytest.raises(ResultError, match="its arrays are not those that were saved"):
        checkpoints.load(saved, MANIFEST)


def test_objects_and_nan_are_not_stored(tmp_path):
    with pytest.raises(ResultError, match="Python objects"):
        checkpoints.save(tmp_path / "x.npz", {"a": np.array([{}])}, {})
    with pytest.raises(ResultError, match="JSON"):
        checkpoints.save(tmp_path / "x.npz", {}, {"alpha": float("nan")})
    assert list(tmp_path.iterdir()) == []
