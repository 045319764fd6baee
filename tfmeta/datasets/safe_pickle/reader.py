"""Python's reader of pickles (the one in Python, `pickle._Unpickler`), restricted to what arrays of numbers need."""

import functools
import mmap
import pickle
import pickletools
import struct
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from tfmeta.datasets import archives
from tfmeta.datasets.safe_pickle.arrays import STAND_INS, Array, Malformed, Refused, Text, Type
from tfmeta.errors import DataError
from tfmeta.utils import files

# A file with the indices of 38,400 images as numpy numbers takes 400,000; each may cost some 200 bytes.
MOST_OPERATIONS = 1_000_000
_LONGEST_NAME = 1024  # bytes; only texts up to this length become Python texts
MOST_NAMES = 64 << 20  # bytes of them in all, since in memory each may take four times as many
_OPERATIONS = """PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINSTRING
    SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8 EMPTY_DICT
    EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS SETITEM SETITEMS BINPUT LONG_BINPUT MEMOIZE BINGET
    LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD"""
_ALLOWED = frozenset(_OPERATIONS.split())


def read_pickle(path: Path) -> Any:
    """Return what a pickle of protocol 2 to 5 describes: dicts, lists, tuples, texts, numbers, and `Array`.

    Arrays are views of the mapped file. A text over 1024 bytes is a `Text`. Raises `DataError` if the file cannot be
    read, is not such a pickle, or asks for anything else.
    """
    try:
        with files.opened(path) as opened:
            view = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError as error:
        raise DataError(f"{path}: is empty; get it again") from error
    except OSError as error:
        raise DataError(archives.unreadable(path, error)) from error
    if view[0] != 0x80:
        found = "a web page (HTML), not a pickle" if archives.is_web_page(bytes(view[:512])) else "not a pickle"
        raise DataError(f"{path}: is {found} of protocol 2 or later; get it again")
    file = _File(view)
    try:
        return _Reader(file).load()
    except Refused as error:
        raise DataError(
            f"{path}: refused, since it holds more than images and their classes ({error}, at byte {file.at}); "
            "nothing in it was run. Get the file from a source that you trust"
        ) from error
    except (Malformed, pickle.UnpicklingError, LookupError, TypeError, ValueError, AttributeError, struct.error) as e:
        reason = e if isinstance(e, Malformed) else "its operations do not fit together"
        raise DataError(f"{path}: truncated or damaged ({reason}, at byte {file.at}); get it again") from e


class _File:
    """The mapped file; what is read are views of it, not copies."""

    def __init__(self, view: memoryview):
        self.view, self.at = view, 0

    def read(self, size: int) -> memoryview | bytes:
        if not 0 <= size <= len(self.view) - self.at:
            raise Malformed("it ends too early")
        self.at += size
        part = self.view[self.at - size : self.at]
        return bytes(part) if size == 1 else part  # an operation's code must be bytes

    def readline(self) -> bytes:
        start = bytes(self.view[self.at : self.at + 256])
        if b"\n" not in start:
            raise Malformed("a name has no end")
        return bytes(self.read(start.index(b"\n") + 1))


class _Methods(dict):
    """The reader's methods by operation; getting one that is not allowed raises, and so does getting too many."""

    done = 0

    def __getitem__(self, code: int) -> Callable[["_Reader"], None]:
        operation = pickletools.code2op.get(chr(code))
        if operation is None:
            raise Malformed(f"{chr(code)!r} is no operation")
        if operation.name not in _ALLOWED:
            raise Refused(f"the operation {operation.name}")
        self.done += 1
        if self.done > MOST_OPERATIONS:
            raise Refused(f"more than {MOST_OPERATIONS} operations")
        return super().__getitem__(code)


class _Reader(pickle._Unpickler):
    """Python's reader with other methods wherever its own would copy bytes, call a function or change an object."""

    def __init__(self, file: _File):
        super().__init__(file)
        self.dispatch = _Methods(self.dispatch)
        self.names = 0

    def load(self) -> Any:
        value = super().load()
        if self.stack or self.metastack:
            raise Malformed("its operations do not fit together")
        return value

    def find_class(self, module: str, name: str) -> types.FunctionType:
        try:
            return STAND_INS[module.replace("numpy._core", "numpy.core"), name]  # numpy 2 has _core
        except KeyError:
            raise Refused(f"it names {module}.{name}") from None

    def _decode_string(self, value: memoryview | bytes) -> str | memoryview:  # a text of Python 2, or an array's bytes
        return str(value, "latin-1") if len(value) <= _LONGEST_NAME else value

    def _load_text(self, length: str) -> None:
        (size,) = struct.unpack(length, self.read(struct.calcsize(length)))
        view = self.read(size)
        self.names += size if size <= _LONGEST_NAME else 0
        if self.names > MOST_NAMES:
            raise Refused(f"more than {MOST_NAMES} bytes of names")
        self.append(str(view, "utf-8") if size <= _LONGEST_NAME else Text(view))

    def _load_frame(self) -> None:
        self.read(8)  # only its length: what is in the frame is read like the rest

    def _load_setitem(self) -> None:
        self._set(self.stack.pop(-2), self.stack.pop())

    def _load_setitems(self) -> None:
        items = self.pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._set(key, value)

    def _set(self, key: Any, value: Any) -> None:
        # hashing a deeply nested tuple would crash Python, and many long numbers of one hash would take hours
        if not (isinstance(key, str) or (isinstance(key, int) and key.bit_length() < 64)):
            raise Refused("a dict's key that is no short text or whole number")
        if not isinstance(self.stack[-1], dict):
            raise Malformed("a dict is missing")
        self.stack[-1][key] = value

    def _load_reduce(self) -> None:
        arguments = self.stack.pop()
        if not isinstance(self.stack[-1], types.FunctionType) or not isinstance(arguments, tuple):
            raise Refused("it calls something")
        self.stack[-1] = self.stack[-1](*arguments)  # a stand-in: no other function gets onto the stack

    def _load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (Array, Type)):
            raise Refused("it changes an object")
        self.stack[-1].build(state)

    dispatch: ClassVar[dict] = {
        **pickle._Unpickler.dispatch,
        pickle.BINUNICODE[0]: functools.partial(_load_text, length="<I"),
        pickle.SHORT_BINUNICODE[0]: functools.partial(_load_text, length="<B"),
        pickle.BINUNICODE8[0]: functools.partial(_load_text, length="<Q"),
        pickle.BYTEARRAY8[0]: pickle._Unpickler.load_binbytes8,  # its own would copy the bytes
        pickle.FRAME[0]: _load_frame,
        pickle.SETITEM[0]: _load_setitem,
        pickle.SETITEMS[0]: _load_setitems,
        pickle.REDUCE[0]: _load_reduce,
        pickle.BUILD[0]: _load_build,
    }
