"""Pickles that claim more than their file holds take no memory for it."""

import pickle
import pickletools
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pickles_by_hand import ARRAYS, proto, read

import tfmeta
from tfmeta.datasets.mini_imagenet.pickles import read_split
from tfmeta.datasets.safe_pickle import Malformed, Text
from tfmeta.errors import DataError


def with_shape(shape, protocol=4):
    """A pickle of 315 bytes of images whose shape says otherwise."""
    right = pickle.dumps(ARRAYS["images"].shape, protocol)[2:-1]
    wrong = pickle.dumps(shape, protocol)[2:-1]
    strip = (lambda data: data[9:]) if protocol >= 4 else (lambda data: data)  # the frame
    whole = pickle.dumps(ARRAYS["images"], protocol)
    core = strip(right).split(b"t")[0].split(b"\x94")[0]
    assert whole.count(core) == 1
    whole = whole.replace(core, strip(wrong).split(b"t")[0].split(b"\x94")[0])
    return pickletools.optimize(whole) if protocol < 4 else whole


@pytest.mark.parametrize("shape", [(1 << 20, 1 << 20, 84, 3), (5, 7, 6, 4), (5, 7, 6, 2), (0, 7, 6, 3)])
@pytest.mark.parametrize("protocol", [2, 3])
def test_a_shape_that_the_file_does_not_hold_takes_no_memory(tmp_path, shape, protocol):
    array = read(tmp_path, with_shape(shape, protocol))
    assert array.shape == shape  # only noted
    with pytest.raises(Malformed, match="array"):
        array.read()


def test_text_that_stands_for_too_few_or_too_many_bytes_is_damaged():
    for text, size in (("é" * 10, 11), ("é" * 10, 9), ("a" * 10, 9), ("a" * 10, 20)):
        with pytest.raises(Malformed):
            Text(memoryview(text.encode())).decode(size)
    assert Text(memoryview("é".encode())).decode(1).tolist() == [0xE9]


BOMBS = {
    "a place in the memo": proto(b"Nr\xff\xff\xff\xff."),
    "a length": proto(b"\x8e", struct.pack("<Q", 1 << 40), b"x" * 1000),
    "a text encoded again and again": proto(
        b"c_codecs\nencode\n\x94X", struct.pack("<I", 1 << 20), b"a" * (1 << 20), b"\x94\x8c\x06latin1\x94",
        b"](" + b"h\x00h\x01h\x02\x86R" * 100_000 + b"e.",
    ),
    "a name made again and again": proto(
        b"X\xe8\x03\0\0" + b"a" * 1000 + b"\x94](" + b"}h\x00K\x01s" * 150_000 + b"e."
    ),
    "a type's state of bytes": proto(
        b"cnumpy\ndtype\n\x8c\x02u1\x85R\x8e", struct.pack("<Q", 40 << 20), bytes(40 << 20), b"b.",
    ),
    "an array's shape": with_shape((1 << 20, 1 << 20, 84, 3), 2),
    "depth": proto(b"]" * 300_000 + b"a" * 299_999 + b"."),
}  # fmt: skip


def test_labels_are_whole_numbers_not_endless_lists(tmp_path):
    """Numpy would make an array of 2 ** 26 numbers of this one."""
    label = b"".join(b"](" for _ in range(26)) + b"K\x00K\x00e\x94"
    label += b"".join(b"h" + bytes([depth]) + b"e\x94" for depth in range(25))
    data = proto(
        b"}(\x8c\x04data", pickle.dumps(ARRAYS["images"], 2)[2:-1], b"\x8c\x06labels](K\x00e\x8c\x0dcatname2label",
        b"}\x8c\x02n1", label, b"su.",
    )  # fmt: skip
    (tmp_path / "file.pkl").write_bytes(data)
    with pytest.raises(DataError, match=r"file\.pkl: the label of n1 is not a whole number"):
        read_split(tmp_path / "file.pkl")


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_file_cannot_fill_the_memory(tmp_path, kind):
    """In a process that may take 150 MB more; without limits each file would take more, most of them gigabytes."""
    path = tmp_path / "file.pkl"
    path.write_bytes(BOMBS[kind])
    code = (
        "import resource, sys; from pathlib import Path; from tfmeta.datasets.safe_pickle import read_pickle\n"
        "from tfmeta.errors import DataError\n"
        "size = int(open('/proc/self/statm').read().split()[0]) * 4096\n"
        "resource.setrlimit(resource.RLIMIT_AS, (size + (150 << 20),) * 2)\n"
        "try: read_pickle(Path(sys.argv[1])); print('read')\n"
        "except DataError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120,
        cwd=Path(tfmeta.__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("read") or "truncated or damaged" in done.stdout


@pytest.mark.slow
def test_a_large_array_takes_no_more_memory_than_its_file(tmp_path):
    """As text (protocol 2 of Python 3) it must be decoded, else it is only mapped."""
    array = np.random.default_rng(0).integers(0, 256, (40 << 20,), np.uint8)
    code = (
        "import resource, sys; from pathlib import Path; from tfmeta.datasets.safe_pickle import read_pickle\n"
        "def anonymous():\n"
        "    return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('RssAnon'))\n"
        "before = anonymous(); array = read_pickle(Path(sys.argv[1])).read(); total = int(array.sum(dtype='u8'))\n"
        "print(anonymous() - before, total)\n"
    )
    for protocol, most in ((4, 10_000), (2, 95_000)):
        (tmp_path / "file.pkl").write_bytes(pickle.dumps(array, protocol))
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "file.pkl")], capture_output=True, text=True, timeout=120,
            cwd=Path(tfmeta.__file__).parents[1], check=True,
        )  # fmt: skip
        kilobytes, total = map(int, done.stdout.split())
        assert total == int(array.sum(dtype=np.uint64))
        assert kilobytes < most
