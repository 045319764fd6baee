"""Stand-ins for what numpy's arrays name in a pickle. They only note what numpy would have made."""

import codecs
import dataclasses
import math
import re
from typing import Any

import numpy as np

_BLOCK = 16 << 20
_TYPES = re.compile(r"[<>|=]?([ui][1248]|f[248]|b1)")


class Malformed(Exception):
    """The file is not a whole pickle."""


class Refused(Exception):
    """The file asks for something that images do not need."""


@dataclasses.dataclass(frozen=True, eq=False)
class Text:
    """A long text of the file, UTF-8. In pickles of protocol 2, Python 3 writes an array's bytes as text."""

    view: memoryview

    def decode(self, size: int) -> np.ndarray:
        """Return the bytes that the text stands for, uint8 [size], or raise `Malformed` if there are more or fewer."""
        if not size <= len(self.view) <= 2 * size:  # before any memory is taken
            raise Malformed(f"an array of {size} bytes has {len(self.view)} as text")
        out, at = np.empty(size, np.uint8), 0
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, len(self.view), _BLOCK):  # block by block: nothing is in memory twice
            end = start + _BLOCK
            block = decoder.decode(self.view[start:end], final=end >= len(self.view)).encode("latin-1")
            if at + len(block) > size:
                raise Malformed("an array has too many bytes")
            out[at : at + len(block)] = np.frombuffer(block, np.uint8)
            at += len(block)
        if at != size:
            raise Malformed("an array has too few bytes")
        return out


@dataclasses.dataclass(eq=False)
class Type:
    """A numpy dtype of plain numbers."""

    kind: str  # "u1"
    order: str = "="

    def build(self, state: Any) -> None:
        """Note the state that numpy would have given to the dtype."""
        if not isinstance(state, tuple):  # unpacking bytes would take eight times their memory
            raise Malformed("a type has no state")
        _version, order, *rest = state
        if rest[:3] != [None, None, None]:
            raise Refused("an array with fields")
        if order not in ("<", ">", "|", "="):
            raise Malformed("a byte order is unknown")
        self.order = order


@dataclasses.dataclass(eq=False)
class Array:
    """A numpy array as the file describes it; `shape` is None until it is described."""

    shape: tuple[int, ...] | None = None
    type: Type | None = None
    fortran: bool = False
    raw: str | bytes | memoryview | Text | None = None

    def build(self, state: Any) -> None:
        """Note the state that numpy would have given to the array: (..., shape, dtype, Fortran order, bytes)."""
        shape, dtype, fortran, raw = state[-4:]
        if not isinstance(raw, (str, bytes, memoryview, Text)) or not isinstance(dtype, Type):
            raise Refused("an array of Python objects")
        if not (isinstance(shape, tuple) and len(shape) <= 8 and all(type(n) is int and n >= 0 for n in shape)):
            raise Malformed("an array has no shape")
        self.shape, self.type, self.fortran, self.raw = shape, dtype, bool(fortran), raw

    def read(self) -> np.ndarray:
        """Return the array, as a read-only view of the file if possible; raise `Malformed` if it is not whole."""
        if self.shape is None:
            raise Malformed("an array is not described")
        dtype = np.dtype(self.type.order.replace("|", "=") + self.type.kind)
        size = math.prod(self.shape) * dtype.itemsize
        raw = self.raw.encode("latin-1") if isinstance(self.raw, str) else self.raw
        raw = raw.decode(size) if isinstance(raw, Text) else raw
        if len(raw) != size:
            raise Malformed(f"an array of {size} bytes has {len(raw)}")
        return np.frombuffer(raw, dtype).reshape(self.shape, order="F" if self.fortran else "C")


def _dtype(code: Any, *_: Any) -> Type:
    match = _TYPES.fullmatch(code)
    if not match:
        raise Refused(f"an array of type {code}")
    return Type(match[1])


def _frombuffer(raw: Any, dtype: Any, shape: Any, order: Any) -> Array:
    array = Array()
    array.build((shape, dtype, order == "F", raw))
    return array


def _scalar(dtype: Any, raw: Any) -> int | float | bool:
    return _frombuffer(raw, dtype, (1,), "C").read()[0].item()


def _encode(text: Any, encoding: Any) -> Any:
    if not isinstance(text, (str, Text)) or encoding not in ("latin1", "latin-1"):
        raise Refused("an encoding other than latin1")
    return text  # `Array.read` encodes it


# By module and name. No function here does more than note its arguments.
STAND_INS = {
    ("numpy", "ndarray"): object(),  # only an argument of `_reconstruct`
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: Array(),
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
}
