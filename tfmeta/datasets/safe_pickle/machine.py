"""Arrays from a pickle, without running anything that is in it.

A pickle is a program for a small stack machine. Python's own reader of it calls whatever the program names, and takes
as much memory as the program says. This one knows the operations that make dicts, lists, tuples, texts and numbers, and
of calls only those by which numpy writes arrays down. It carries none of them out: it notes what the array would be and
where in the file its bytes are. So a file can be refused, but can do nothing, and it takes no memory for its pictures
unless they were written as text.
"""

import mmap
import pickletools
import struct
from pathlib import Path
from typing import Any

from tfmeta.datasets import archives
from tfmeta.datasets.safe_pickle.parts import Malformed, Name, Raw, Refused, build, call
from tfmeta.errors import DataError

# A file with the indices of 38,400 pictures as numpy numbers takes 400,000; each may cost some 200 bytes.
MOST_OPERATIONS = 1_000_000
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_NUMBERS = {"BININT": "<i", "BININT1": "<B", "BININT2": "<H", "BINFLOAT": ">d"}
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_BYTES = ("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
_LENGTHS = {
    pickletools.TAKEN_FROM_ARGUMENT1: "<B",
    pickletools.TAKEN_FROM_ARGUMENT4: "<i",
    pickletools.TAKEN_FROM_ARGUMENT4U: "<I",
    pickletools.TAKEN_FROM_ARGUMENT8U: "<Q",
}


def read_pickle(path: Path) -> Any:
    """Return what a pickle of protocol 2 to 5 describes, of dicts, lists, tuples, numbers, `Array` and `Raw`.

    Raises `DataError` where the file cannot be read, is no such pickle, or asks for anything else. Arrays are views
    of the mapped file.
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
            f"{path}: refused, since it holds more than pictures and their classes ({error}, at byte {machine.at}); "
            "nothing in it was run. Get the file from a source that you trust"
        ) from error
    except (Malformed, IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
        reason = error if isinstance(error, Malformed) else "its operations do not fit together"
        raise DataError(f"{path}: truncated or damaged ({reason}, at byte {machine.at}); get it again") from error


class _Machine:
    """The stack machine: `run` returns what is on the stack at the end."""

    def __init__(self, view: memoryview):
        self.view, self.at = view, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []  # where on the stack
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
            self._do(operation.name, self._argument(operation.arg))
        raise Refused(f"more than {MOST_OPERATIONS} operations")

    def _take(self, size: int) -> memoryview:
        if not 0 <= size <= len(self.view) - self.at:
            raise Malformed("it ends too early")
        self.at += size
        return self.view[self.at - size : self.at]

    def _argument(self, kind: pickletools.ArgumentDescriptor | None) -> memoryview | str | None:
        """Return an operation's argument: its bytes, or the one or two lines of text."""
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

    def _do(self, name: str, argument: memoryview | str | None) -> None:
        if name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _NUMBERS:
            self.stack.append(struct.unpack(_NUMBERS[name], argument)[0])
        elif name in _TEXTS:
            self.stack.append(Raw(argument, text=True))
        elif name in _BYTES:
            self.stack.append(Raw(argument))
        elif method := getattr(self, f"_{name.lower()}", None):
            method(argument)
        else:
            raise Refused(f"the operation {name}")

    # --- one method an operation; the names are those of pickletools ----------------------------------

    def _proto(self, argument):
        if argument[0] > 5:
            raise Malformed(f"protocol {argument[0]} is not known")

    def _frame(self, argument):
        pass

    def _mark(self, _):
        self.marks.append(len(self.stack))

    def _long1(self, argument):
        self.stack.append(int.from_bytes(argument, "little", signed=True))

    def _empty_dict(self, _):
        self.stack.append({})

    def _empty_list(self, _):
        self.stack.append([])

    def _empty_tuple(self, _):
        self.stack.append(())

    def _tuple(self, _):
        self.stack.append(tuple(self._since_mark()))

    def _tuple1(self, _):
        self.stack[-1:] = [(self.stack[-1],)]

    def _tuple2(self, _):
        self.stack[-2:] = [tuple(self._last(2))]

    def _tuple3(self, _):
        self.stack[-3:] = [tuple(self._last(3))]

    def _append(self, _):
        value = self.stack.pop()
        self._under(list).append(value)

    def _appends(self, _):
        values = self._since_mark()
        self._under(list).extend(values)

    def _setitem(self, _):
        key, value = self._last(2)
        del self.stack[-2:]
        self._under(dict)[_key(key)] = value

    def _setitems(self, _):
        values = self._since_mark()
        self._under(dict).update({_key(k): value for k, value in zip(values[::2], values[1::2], strict=True)})

    def _binput(self, argument):
        self.memo[int.from_bytes(argument, "little")] = self.stack[-1]

    _long_binput = _binput

    def _memoize(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def _binget(self, argument):
        self.stack.append(self.memo[int.from_bytes(argument, "little")])

    _long_binget = _binget

    def _global(self, argument):
        self.stack.append(Name.allowed(*argument.split("\n")))

    def _stack_global(self, _):
        module, name = self._last(2)
        self.stack[-2:] = [Name.allowed(module.word(), name.word())]

    def _reduce(self, _):
        function, arguments = self._last(2)
        self.stack[-2:] = [call(function, arguments)]

    def _build(self, _):
        state = self.stack.pop()
        build(self.stack[-1], state)

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _last(self, count: int) -> list[Any]:
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise Malformed("its stack is empty")
        return self.stack[-count:]

    def _under(self, kind: type) -> Any:
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
