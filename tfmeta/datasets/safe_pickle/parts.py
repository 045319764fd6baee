"""What a pickle holds besides dicts, lists and numbers: bytes, and numpy's arrays and numbers.

Nothing here is made by calling what the file names: `call` and `build` note what numpy would have made of it.
"""

import codecs
import dataclasses
import functools
import math
import re
from typing import Any

import numpy as np

_LONGEST_WORD = 1024
_BLOCK = 16 << 20
_TYPES = re.compile(r"[<>|=]?([ui][1248]|f[248]|b1)")
_NAMES = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("_codecs", "encode"),
}


class Malformed(Exception):
    """The file is not a whole pickle."""


class Refused(Exception):
    """The file asks for something that images do not need."""


@dataclasses.dataclass(frozen=True, eq=False)
class Raw:
    """Bytes of the file.

    Attributes:
        view: The bytes.
        text: Whether they are text (UTF-8).
        latin: Whether that text stands for bytes, as Python 3 writes them into pickles of protocol 2.
    """

    view: memoryview
    text: bool = False
    latin: bool = False

    def word(self) -> str:
        """Return the short text that this is."""
        return self._word

    @functools.cached_property  # made once, however often the file refers to it
    def _word(self) -> str:
        if len(self.view) > _LONGEST_WORD:
            raise Refused(f"a name of {len(self.view)} bytes")
        return str(self.view, "utf-8" if self.text else "latin-1")

    def array(self, dtype: np.dtype, count: int) -> np.ndarray:
        """Return `count` numbers, as a view unless it is text; raise `Malformed` if there are more or fewer."""
        size = count * dtype.itemsize
        if self.text and not self.latin:
            raise Malformed("an array's bytes are text")
        if not self.text:
            if len(self.view) != size:
                raise Malformed(f"an array of {size} bytes has {len(self.view)}")
            return np.frombuffer(self.view, dtype)
        if not size <= len(self.view) <= 2 * size:  # before any memory is taken
            raise Malformed(f"an array of {size} bytes has {len(self.view)} as text")
        return self._decoded(size).view(dtype)

    def _decoded(self, size: int) -> np.ndarray:
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


@dataclasses.dataclass(eq=False)
class Array:
    """A numpy array as the file describes it; `shape` is None until it is described."""

    shape: tuple[int, ...] | None = None
    type: Type | None = None
    fortran: bool = False
    raw: Raw | None = None

    def describe(self, shape: Any, dtype: Any, fortran: Any, raw: Any) -> None:
        """Note what the file says; nothing is made yet."""
        if not isinstance(raw, Raw) or not isinstance(dtype, Type):
            raise Refused("an array of Python objects")
        if not (isinstance(shape, tuple) and len(shape) <= 8 and all(type(n) is int and n >= 0 for n in shape)):
            raise Malformed("an array has no shape")
        self.shape, self.type, self.fortran, self.raw = shape, dtype, bool(fortran), raw

    def read(self) -> np.ndarray:
        """Return the array, as a read-only view of the file if possible; raise `Malformed` if it is not whole."""
        if self.shape is None:
            raise Malformed("an array is not described")
        dtype = np.dtype(self.type.order.replace("|", "=") + self.type.kind)
        flat = self.raw.array(dtype, math.prod(self.shape))
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


@dataclasses.dataclass(frozen=True)
class Name:
    """A function or class that numpy's arrays name in a pickle. It is never called."""

    name: str

    @classmethod
    def allowed(cls, module: str, name: str) -> "Name":
        """Return the name, or raise `Refused` if it is not one that numpy's arrays need."""
        if (module.replace("numpy._core", "numpy.core"), name) not in _NAMES:  # numpy 2 has _core
            raise Refused(f"it names {module}.{name}")
        return cls(name)


def call(function: Any, arguments: Any) -> Any:
    """Note what a call of one of the allowed names would make."""
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise Refused("it calls something")
    match function.name:
        case "_reconstruct":
            return Array()
        case "dtype":
            return _type(arguments[0])
        case "scalar":
            dtype, raw = arguments
            array = Array()
            array.describe((1,), dtype, False, raw)
            return array.read()[0].item()
        case "_frombuffer":
            raw, dtype, shape, order = arguments
            array = Array()
            array.describe(shape, dtype, order.word() == "F", raw)
            return array
        case "encode":
            text, encoding = arguments
            if encoding.word().replace("-", "") != "latin1" or not text.text:
                raise Refused(f"an encoding {encoding.word()}")
            return dataclasses.replace(text, latin=True)
    raise Refused(f"it calls {function.name}")


def build(part: Any, state: Any) -> None:
    """Note the state that numpy would have given to a part."""
    if isinstance(part, Array):
        part.describe(*state[-4:])
    elif isinstance(part, Type):
        _version, order, *rest = state
        if rest[:3] != [None, None, None]:
            raise Refused("an array with fields")
        if order.word() not in ("<", ">", "|", "="):
            raise Malformed("a byte order is unknown")
        part.order = order.word()
    else:
        raise Refused("it changes an object")


def _type(name: Any) -> Type:
    """Return the `Type` of a numpy code such as u1 or <i8."""
    match = _TYPES.fullmatch(name.word())
    if not match:
        raise Refused(f"an array of type {name.word()}")
    return Type(match[1])
