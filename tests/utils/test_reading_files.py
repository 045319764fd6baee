"""Files are read within bounds, and only if they are files."""

import os

import pytest

from tfmeta.utils import files


def test_a_file_of_just_the_largest_size_is_read_and_a_larger_one_is_not(tmp_path):
    path = tmp_path / "x"
    for content in (b"", b"12345"):
        path.write_bytes(content)
        assert files.read(path, 5) == content
    with pytest.raises(OSError, match="has 5 bytes, and more than 4 are not read"):
        files.read(path, 4)


def test_a_file_that_says_it_is_empty_is_read_within_bounds():
    assert b"tcp" in files.read("/proc/self/net/protocols", 1 << 20).lower()  # its size is given as 0
    with pytest.raises(OSError, match="more than 10 are not read"):
        files.read("/proc/self/net/protocols", 10)


def test_an_endless_file_a_pipe_and_a_folder_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/zero", tmp_path / "pipe"):
        with pytest.raises(OSError, match="is not a regular file"):
            files.read(path, 100)
    with pytest.raises(OSError, match="is a folder"):
        files.read(tmp_path, 100)
