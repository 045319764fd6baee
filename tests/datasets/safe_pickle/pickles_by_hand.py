"""Arrays, and pickles put together by hand."""

import numpy as np

from tfmeta.datasets.safe_pickle import read_pickle

ARRAYS = {
    "images": np.random.default_rng(0).integers(0, 256, (5, 7, 6, 3), np.uint8),
    "indices": np.arange(600),
    "big endian": np.arange(5, dtype=">i4"),
    "fortran": np.asfortranarray(np.arange(12, dtype=np.int16).reshape(3, 4)),
    "floats": np.linspace(0, 1, 5, dtype=np.float32),
    "truths": np.array([True, False]),
    "strided": np.arange(20, dtype=np.uint8)[::3],
}


def read(tmp_path, data):
    path = tmp_path / "file.pkl"
    path.write_bytes(data)
    return read_pickle(path)


def proto(*parts):
    return b"\x80\x04" + b"".join(parts)
