"""Reading pickles without running them, malicious ones above all."""

import builtins
import codecs
import collections
import contextlib
import datetime
import os
import pickle
import pickletools
import struct
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pickles_by_hand import ARRAYS, proto, read

from tfmeta.datasets.safe_pickle import Array, Malformed, read_pickle, reader
from tfmeta.errors import DataError


def plain(value):
    """Turn what was read into what was written."""
    if isinstance(value, Array):
        return value.read()
    if isinstance(value, dict):
        return {key: plain(of) for key, of in value.items()}
    return type(value)(map(plain, value)) if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_reading_returns_the_data_that_was_written(tmp_path, protocol):
    content = {
        "arrays": list(ARRAYS.values()),
        "numbers": [0, 1, -1, 255, 256, 70_000, -(2**31), 2**31, 2**70, 1.5, True, False, None],
        "numpy's": [np.int64(7), np.uint8(200), np.float32(0.5)],
        "texts": ["", "n01532829", "Füchse", ("a", ("b", "c", "d"), ("e", "f"), ("g", "h", "i", "j")), ()],
        "dict": {1: "x", "n01532829": list(range(3)), "empty": {}, "list": []},
    }
    content["again"] = content["dict"]  # from the memo
    back = plain(read(tmp_path, pickle.dumps(content, protocol)))
    for one, other in zip(back.pop("arrays"), content.pop("arrays"), strict=True):
        assert one.dtype.kind == other.dtype.kind and one.shape == other.shape and (one == other).all()
    assert back == content


def python_2(array):
    """An array as numpy wrote it under Python 2, where bytes were texts: protocol 2, BINSTRING."""

    def text(data):
        return b"T" + struct.pack("<i", len(data)) + data

    count = bytes([len(array)])
    return b"".join([
        b"\x80\x02}q\x00U\x0aimage_dataq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03",
        b"K\x00\x85q\x04U\x01bq\x05\x87q\x06Rq\x07(K\x01K", count, b"\x85q\x08",
        b"cnumpy\ndtype\nq\x09U\x02u1q\x0aK\x00K\x01\x87q\x0bRq\x0c(K\x03U\x01|q\x0dNNNJ\xff\xff\xff\xff",
        b"J\xff\xff\xff\xffK\x00tq\x0eb\x89", text(array.tobytes()), b"q\x0ftq\x10bs.",
    ])  # fmt: skip


def test_pickles_of_python_2_are_read(tmp_path):
    array = np.arange(200, dtype=np.uint8)
    data = python_2(array)
    assert (pickle.loads(data, encoding="latin1")["image_data"] == array).all()
    back = read(tmp_path, data)
    assert list(back) == ["image_data"] and (back["image_data"].read() == array).all()


def test_the_module_names_of_numpy_2_are_accepted(tmp_path):
    data = pickle.dumps(ARRAYS["images"], 2).replace(b"numpy.core", b"numpy._core")
    assert (read(tmp_path, data).read() == ARRAYS["images"]).all()


def test_arrays_are_views_of_the_file_not_copies(tmp_path):
    for protocol in (3, 4, 5):
        array = read(tmp_path, pickle.dumps(ARRAYS["images"], protocol)).read()
        assert not array.flags.owndata and not array.flags.writeable
        assert isinstance(array.base, (np.ndarray, memoryview))


class Evil:
    """Pickles as a call of whatever it is given."""

    def __init__(self, *reduced):
        self.reduced = reduced

    def __reduce__(self):
        return self.reduced


class Plain:
    pass


def with_state():
    made = Plain()
    made.x = 1
    return made


def touch(path):
    return Evil(os.system, (f"touch {path}",))


HOSTILE = {
    "os.system": (lambda path: touch(path), r"names (posix|nt)\.system"),
    "builtins.eval": (lambda path: Evil(builtins.eval, (f"open({str(path)!r}, 'w')",)), r"builtin\w+\.eval"),
    "builtins.getattr": (lambda path: Evil(getattr, ("", "join")), r"__builtin__\.getattr|builtins\.getattr"),
    "subprocess": (lambda path: Evil(subprocess.Popen, (["touch", str(path)],)), r"(subprocess|commands)\.Popen"),
    "inside a dict": (lambda path: {"image_data": np.zeros(3, "u1"), "class_dict": {"n1": [touch(path)]}}, "system"),
    "inside an array": (lambda path: np.array([touch(path), 1], object), "of type O8|system"),
    "an array of objects": (lambda path: np.array([{}, []], object), r"an array of type O8"),
    "an array with fields": (lambda path: np.zeros(2, [("a", "u1"), ("b", "i4")]), r"an array of type V5"),
    "an array of dates": (lambda path: np.zeros(2, "M8[s]"), r"an array of type M8"),
    "numpy.load": (lambda path: Evil(np.load, (str(path), None, True)), r"names numpy\.load"),
    "numpy's fromfile": (lambda path: Evil(np.fromfile, ("/etc/passwd",)), r"names numpy"),
    "another class": (lambda path: with_state(), r"names \S*test_safe_pickle\.Plain"),
    "a date": (lambda path: datetime.date(2020, 1, 1), r"datetime\.date"),
    "an ordered dict": (lambda path: collections.OrderedDict(a=1), r"collections\.OrderedDict"),
    "a set": (lambda path: {1, 2}, r"EMPTY_SET|builtins\.set|__builtin__\.set"),
    "a huge bytearray": (lambda path: Evil(bytearray, (1 << 40,)), r"bytearray"),
    "another encoding": (lambda path: Evil(codecs.encode, ("x", "rot13")), r"codecs\.encode|other than latin1"),
}  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("kind", HOSTILE)
def test_anything_but_data_is_refused_and_not_run(tmp_path, kind, protocol):
    make, message = HOSTILE[kind]
    target = tmp_path / "was-run"
    data = pickle.dumps(make(target), protocol)
    with pytest.raises(DataError, match=rf"file\.pkl: refused, since .*({message}).*nothing in it was run"):
        read(tmp_path, data)
    assert not target.exists()


OPERATIONS = {
    "find a class by an old operation": (proto(b"(S'true'\nios\nsystem\n."), "the operation INST|the operation STRING"),
    "persistent object": (proto(b"Pfile\n."), "the operation PERSID"),
    "extension registry": (proto(b"\x82\x01."), "the operation EXT1"),
    "make an object": (proto(b"cnumpy\nndarray\n)\x81."), "the operation NEWOBJ"),
    "call a dict": (proto(b"}(K\x01K\x02tR."), "it calls something"),
    "call ndarray": (proto(b"cnumpy\nndarray\nK\x05\x85R."), "it calls something"),
    "give a state to a dict": (proto(b"}}b."), "it changes an object"),
    "give a state to a function": (proto(b"cnumpy\nndarray\n}b."), "it changes an object"),
    "a key of a megabyte": (proto(b"}X", struct.pack("<I", 1 << 20), b"a" * (1 << 20), b"K\x01s."), "a dict's key"),
    "a list as a key": (proto(b"}]K\x01s."), "a dict's key"),
    "a number of 65 bits as a key": (proto(b"}", pickle.dumps(1 << 64, 2)[2:-1], b"K\x01s."), "a dict's key"),
    "deeply nested tuples as a key": (proto(b"}K\x01", b"\x85" * 300_000, b"K\x01s."), "a dict's key"),
    "deeply nested tuples as an encoding": (
        proto(b"c_codecs\nencode\n\x8c\x01aK\x01", b"\x85" * 300_000, b"\x86R."), "an encoding",
    ),
    "a submodule that is dotted in": (proto(b"\x8c\x05numpy\x8c\x0fndarray.__new__\x93."), r"numpy\.ndarray\.__new__"),
    "throw away": (proto(b"]0" * 2), "the operation POP"),
}


@pytest.mark.parametrize("kind", OPERATIONS)
def test_operations_that_data_do_not_need_are_refused(tmp_path, kind):
    data, message = OPERATIONS[kind]
    with pytest.raises(DataError, match=rf"refused, since .*({message})"):
        read(tmp_path, data)


def test_too_many_operations_are_refused(tmp_path, monkeypatch):
    """Each makes an object of some hundred bytes, so the memory would be a hundred times the file."""
    monkeypatch.setattr(reader, "MOST_OPERATIONS", 1000)
    read(tmp_path, proto(b"]", b"]a" * 498, b"."))
    with pytest.raises(DataError, match="more than 1000 operations"):
        read(tmp_path, proto(b"]", b"]a" * 500, b"."))


def test_too_many_names_are_refused(tmp_path, monkeypatch):
    """In memory a name can take four times its bytes in the file."""
    monkeypatch.setattr(reader, "MOST_NAMES", 1000)
    read(tmp_path, proto(b"](", b"\x8c\x0a0123456789" * 100, b"e."))
    with pytest.raises(DataError, match="more than 1000 bytes of names"):
        read(tmp_path, proto(b"](", b"\x8c\x0a0123456789" * 101, b"e."))


DATA_OPERATIONS = """APPEND APPENDS BINBYTES BINBYTES8 BINFLOAT BINGET BININT BININT1 BININT2 BINPUT BINSTRING
    BINUNICODE BINUNICODE8 BUILD BYTEARRAY8 EMPTY_DICT EMPTY_LIST EMPTY_TUPLE FRAME GLOBAL LONG1 LONG_BINGET
    LONG_BINPUT MARK MEMOIZE NEWFALSE NEWTRUE NONE PROTO REDUCE SETITEM SETITEMS SHORT_BINBYTES SHORT_BINSTRING
    SHORT_BINUNICODE STACK_GLOBAL STOP TUPLE TUPLE1 TUPLE2 TUPLE3"""


@pytest.mark.parametrize("operation", pickletools.opcodes, ids=lambda operation: operation.name)
def test_every_operation_but_those_of_data_is_refused(tmp_path, operation):
    """Also those that a later Python adds."""
    with pytest.raises(DataError) as caught:  # those of data find nothing on the stack, or no end
        read(tmp_path, proto(operation.code.encode("latin-1")))
    refused = f"refused, since it holds more than images and their classes (the operation {operation.name},"
    assert (refused in str(caught.value)) == (operation.name not in DATA_OPERATIONS.split())


GOOD = pickle.dumps({"image_data": ARRAYS["images"], "class_dict": {"n1": [0, 1, 2, 3, 4]}}, 4)
DAMAGED = {
    "an empty file": (b"", "is empty"),
    "a web page": (b"<!DOCTYPE html><html>", "is a web page"),
    "a text": (b"not a pickle", "is not a pickle of protocol 2"),
    "protocol 0": (pickle.dumps({"a": 1}, 0), "is not a pickle of protocol 2"),
    "another protocol": (b"\x80\x09}.", "do not fit"),
    "half a file": (GOOD[: len(GOOD) // 2], "it ends too early"),
    "no end": (GOOD[:-1], "it ends too early"),
    "no operation": (proto(b"\xff."), "is no operation"),
    "bytes beyond the end": (proto(b"\x8e", struct.pack("<Q", 1 << 62), b"x."), "it ends too early"),
    "bytes of negative length": (proto(b"T", struct.pack("<i", -5), b"x."), "do not fit"),
    "nothing on the stack": (proto(b"."), "do not fit"),
    "two things on the stack": (proto(b"}}."), "do not fit"),
    "a type's state of bytes": (proto(b"cnumpy\ndtype\n\x8c\x02u1\x85RC\x05aaaaab."), "a type has no state"),
    "no mark": (proto(b"}u."), "do not fit"),
    "a memo that is not there": (proto(b"h\x07."), "do not fit"),
    "a key without a value": (proto(b"}(K\x01u."), "do not fit"),
    "items of a list given to a dict": (proto(b"}(K\x01e."), "do not fit"),
    "items of a dict given to a list": (proto(b"]K\x01K\x02s."), "a dict is missing"),
    "a name without end": (proto(b"c" + b"a" * 5000), "a name has no end"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_named(tmp_path, kind):
    data, message = DAMAGED[kind]
    with pytest.raises(DataError, match=rf"file\.pkl.*{message}"):
        read(tmp_path, data)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(DataError, match=r"no\.pkl: cannot be read \(No such file"):
        read_pickle(tmp_path / "no.pkl")
    with pytest.raises(DataError, match="cannot be read"):
        read_pickle(tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_an_error_and_never_a_crash(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("noise") / "file.pkl"
    path.write_bytes(b"\x80\x04" + noise)
    with contextlib.suppress(DataError):
        read_pickle(path)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_byte_is_an_error_or_other_data_and_never_a_crash(tmp_path_factory, data):
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(GOOD) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("noise") / "file.pkl"
    path.write_bytes(damaged)
    try:
        content = read_pickle(path)
        for part in content.values() if isinstance(content, dict) else ():
            if isinstance(part, Array):
                part.read()
    except (DataError, Malformed, ValueError):
        pass
