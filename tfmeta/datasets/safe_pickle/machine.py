"""The stack machine that a pickle is a program for, without its dangerous operations."""

import mmap
import pickletools
import struct
from pathlib import Path
from typing import Any

from tfmeta.datasets import archives
from tfmeta.datasets.safe_pickle.parts import Malformed, Name, Raw, Refused, build, call
from tfmeta.errors import DataError

# A file with the indices of 38,400 images as numpy numbers takes 400,000; each may cost some 200 bytes.
MOST_OPERATIONS = 1_000_000
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = {"BININT": "<i", "BININT1": "<B", "BININT2": "<H", "BINFLOAT": ">d"}
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_BYTES = ("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: "<B",
    pickletools.TAKEN_FROM_ARGUMENT4: "<i",
    pickletools.TAKEN_FROM_ARGUMENT4U: "<I",
    pickletools.TAKEN_FROM_ARGUMENT8U: "<Q",
}


def read_pickle(path: Path) -> Any:
    """Return what a pickle of protocol 2 to 5 describes: dicts, lists, tuples, numbers, `Array` and `Raw`.

    Arrays are views of the mapped file.

    Raises:
        DataError: the file cannot be read, is not such a pickle, or asks for anything else.
    """
    try:
        with path.open("rb") as file:
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError as error:
        raise DataError(f"{path}: is missing; get it again") from error
    except ValueError as error:
        raise DataError(f"{path}: is empty; get it again") from error
    except OSError as error:
        raise DataError(archives.unreadable(path, error)) from error
    if archives.is_web_page(bytes(view[:512])):
        raise DataError(f"{path}: is a web page (HTML), not a pickle; get it again")
    if view[0] != 0x80:
        raise DataError(f"{path}: is not a pickle of protocol 2 or later; get it again")
    machine = _Machine(view)
    try:
        return machine.run()
    except Refused as error:
        raise DataError(
            f"{path}: refused, since it holds more than images and their classes ({error}, at byte {machine.at}); "
            "nothing in it was run. Get the file from a source that you trust"
        ) from error
    except (Malformed, IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
        reason = error if isinstance(error, Malformed) else "its operations do not fit together"
        raise DataError(f"{path}: truncated or damaged ({reason}, at byte {machine.at}); get it again") from error


class _Machine:
    """The stack machine; `run` returns what is on the stack at the end."""

    def __init__(self, view: memoryview):
        self.view, self.at = view, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []  # heights of the stack
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MOST_OPERATIONS):
            code = chr(self._take(1)[0])
            if code not in pickletools.code2op:
                raise Malformed(f"{code!r} is no operation")
            operation = pickletools.code2op[code]
            if operation.name == "STOP":
                (value,) = self.stack
                return value
            argument = self._argument(operation.arg)
            if not (self._push(operation.name, argument) or self._combine(operation.name, argument)):
                raise Refused(f"the operation {operation.name}")
        raise Refused(f"more than {MOST_OPERATIONS} operations")

    def _take(self, size: int) -> memoryview:
        if not 0 <= size <= len(self.view) - self.at:
            raise Malformed("it ends too early")
        self.at += size
        return self.view[self.at - size : self.at]

    def _argument(self, kind: pickletools.ArgumentDescriptor | None) -> memoryview | str | None:
        """Return an operation's argument: its bytes, or one or two lines of text."""
        if kind is None:
            return None
        if kind.n == pickletools.UP_TO_NEWLINE:
            return "\n".join(self._line() for _ in range(2 if kind.name == "stringnl_noescape_pair" else 1))
        if kind.n < 0:
            (size,) = struct.unpack(_LENGTHS[kind.n], self._take(struct.calcsize(_LENGTHS[kind.n])))
            return self._take(size)
        return self._take(kind.n)

    def _line(self) -> str:
        start = bytes(self.view[self.at : self.at + 256])
        if b"\n" not in start:
            raise Malformed("a name has no end")
        return str(self._take(start.index(b"\n") + 1)[:-1], "ascii")

    def _push(self, name: str, argument: memoryview | str | None) -> bool:
        """Do an operation that adds one value to the stack; return whether it is one."""
        if name in _CONSTANTS:
            value = _CONSTANTS[name]
        elif name in _NUMBERS:
            (value,) = struct.unpack(_NUMBERS[name], argument)
        elif name == "LONG1":
            value = int.from_bytes(argument, "little", signed=True)
        elif name in _TEXTS or name in _BYTES:
            value = Raw(argument, text=name in _TEXTS)
        elif name in _EMPTY:
            value = _EMPTY[name]()
        elif name in ("BINGET", "LONG_BINGET"):
            value = self.memo[int.from_bytes(argument, "little")]
        elif name == "GLOBAL":
            value = Name.allowed(*argument.split("\n"))
        else:
            return False
        self.stack.append(value)
        return True

    def _combine(self, name: str, argument: memoryview | str | None) -> bool:
        """Do an operation on what the stack holds; return whether it is one that is allowed."""
        match name:
            case "PROTO" if argument[0] > 5:
                raise Malformed(f"protocol {argument[0]} is not known")
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self.marks.append(len(self.stack))
            case "BINPUT" | "LONG_BINPUT":
                self.memo[int.from_bytes(argument, "little")] = self.stack[-1]
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.stack[-1]
            case "TUPLE":
                self.stack.append(tuple(self._pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self.stack.append(tuple(self._pop(int(name[-1]))))
            case "APPEND":
                (value,) = self._pop(1)
                self._top(list).append(value)
            case "APPENDS":
                values = self._pop_to_mark()
                self._top(list).extend(values)
            case "SETITEM":
                key, value = self._pop(2)
                self._top(dict)[_key(key)] = value
            case "SETITEMS":
                values = self._pop_to_mark()
                items = {_key(key): value for key, value in zip(values[::2], values[1::2], strict=True)}
                self._top(dict).update(items)
            case "STACK_GLOBAL":
                module, name = self._pop(2)
                self.stack.append(Name.allowed(module.word(), name.word()))
            case "REDUCE":
                self.stack.append(call(*self._pop(2)))
            case "BUILD":
                (state,) = self._pop(1)
                build(self.stack[-1], state)
            case _:
                return False
        return True

    def _pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise Malformed("its stack is empty")
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise Malformed(f"a {kind.__name__} is missing")
        return self.stack[-1]


def _key(key: Any) -> str | int:
    """Return a dict's key: texts and numbers only."""
    if isinstance(key, Raw):
        return key.word()
    if isinstance(key, int):
        return key
    raise Refused("a dict's key that is no text or number")
