"""Zips made by hand, whose lists of files say what they like."""

import struct
import zlib


def member(name, data=b"", claim=None, method=8, crc=None, offset=0):
    """Return a member's bytes, local header first, and its entry in the list of files."""
    packed = data
    if method == 8:
        packing = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packing.compress(data) + packing.flush()
    numbers = (zlib.crc32(data) if crc is None else crc, len(packed), len(data) if claim is None else claim)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, method, 0, 0, *numbers, len(name), 0) + name + packed
    return local, entry(name, numbers, method, offset)


def entry(name, numbers=(0, 0, 0), method=0, offset=0):
    """Return an entry of the list of files; `numbers` are checksum, packed size and size."""
    return struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, method, 0, 0, *numbers, len(name), *[0] * 5, offset) + name


def end(count, size, start, zip64=False):
    """Return the end of a zip whose list has `count` files and `size` bytes, and starts at `start`."""
    if not zip64:
        return struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, size, start, 0)
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, start)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, start + size, 1)
    return record + locator + end(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
