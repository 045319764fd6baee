"""Files appear whole or not at all, also when the disk is full or the writer is killed."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from tfmeta.errors import StorageError
from tfmeta.store import atomic

OLD, NEW = b"old" * 10, os.urandom(200_000)


def leftovers(folder):
    return sorted(path.name for path in folder.rglob("*") if path.name.startswith("."))


def run(code, *arguments, before=()):
    return subprocess.run(
        [*before, sys.executable, "-B", "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "new" / "folder" / "file"
    atomic.write_bytes(path, OLD)
    atomic.write_bytes(path, NEW)
    assert path.read_bytes() == NEW
    atomic.write_json(path, {"a": [1, "ü"]})
    assert json.loads(path.read_text()) == {"a": [1, "ü"]}
    assert leftovers(tmp_path) == []


def test_permissions_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        atomic.write_bytes(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [KeyError("x"), KeyboardInterrupt(), ConnectionResetError("network")])
def test_an_exception_in_the_block_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    with pytest.raises(type(error)) as raised, atomic.replacing(path) as file:
        file.write(NEW)
        raise error
    assert raised.value is error  # an OSError of something else is not taken for a refusal to write
    assert path.read_bytes() == OLD
    assert leftovers(tmp_path) == []


def test_nan_is_refused_as_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        atomic.write_json(tmp_path / "file", [float("nan")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("old", [False, True], ids=["new file", "old file"])
def test_a_write_over_the_file_size_limit_leaves_the_old_file(tmp_path, old):
    """With RLIMIT_FSIZE the kernel itself refuses the write half-way (EFBIG)."""
    path = tmp_path / "file"
    if old:
        path.write_bytes(OLD)
    done = run(
        """
        import resource, sys
        from tfmeta.errors import StorageError
        from tfmeta.store import atomic
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            atomic.write_bytes(sys.argv[1], bytes(200_000))
        except StorageError as error:
            print(error)
        """,
        path,
    )
    assert str(path) in done.stdout and "largest size" in done.stdout, done.stderr
    assert (path.read_bytes() if old else not path.exists()) == (OLD if old else True)
    assert leftovers(tmp_path) == []


FILL = """
import subprocess, sys
from pathlib import Path
import numpy as np
from tfmeta.errors import StorageError
from tfmeta.store import atomic, checkpoints
disk = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=True)
atomic.write_bytes(disk / "bytes", b"old")
checkpoints.save(disk / "checkpoint.npz", {"w": np.ones(3)}, {"round": 1})
before = sorted(disk.rglob("*"))
for write in (
    lambda: atomic.write_bytes(disk / "bytes", bytes(400_000)),
    lambda: atomic.write_bytes(disk / "another", bytes(400_000)),
    lambda: checkpoints.save(disk / "checkpoint.npz", {"w": np.ones(100_000)}, {"round": 2}),
):
    try:
        write()
    except StorageError as error:
        print(error)
assert sorted(disk.rglob("*")) == before, sorted(disk.rglob("*"))
assert (disk / "bytes").read_bytes() == b"old"
assert checkpoints.load(disk / "checkpoint.npz", {"round": 1}).arrays["w"].tolist() == [1, 1, 1]
print("survived")
"""


def test_a_full_disk_leaves_the_old_files(tmp_path):
    """A write fills up a real file system of 256 kB in its own mount namespace (ENOSPC)."""
    done = run(FILL, tmp_path, before=["unshare", "--user", "--map-root-user", "--mount"])
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    *messages, last = done.stdout.splitlines()
    assert last == "survived" and len(messages) == 3
    for message, name in zip(messages, ("bytes", "another", "checkpoint.npz"), strict=True):
        assert f"{tmp_path / name} could not be written: no space is left on the disk" in message
        assert "Make room" in message


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(OLD)
    with pytest.raises(StorageError, match=r"folder could not be written \(Is a directory\)"):
        atomic.write_bytes(tmp_path / "folder", NEW)
    with pytest.raises(StorageError, match="below could not be written"):
        atomic.write_bytes(tmp_path / "file" / "below", NEW)
    assert leftovers(tmp_path) == [] and (tmp_path / "file").read_bytes() == OLD


WRITE_FOR_EVER = """
import sys
from tfmeta.store import atomic
print("ready", flush=True)
while True:
    atomic.write_bytes(sys.argv[1], b"x" * 5_000_000)
"""


def test_a_killed_writer_leaves_no_part_of_a_file(tmp_path):
    """A reader never sees part of a file; a killed writer's temporary file is swept, a live writer's is not."""
    path = tmp_path / "file"
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-B", "-c", WRITE_FOR_EVER, path], stdout=subprocess.PIPE)
        assert writer.stdout.readline() == b"ready\n"
        while not path.exists():
            pass
        assert all(path.read_bytes() == b"x" * 5_000_000 for _ in range(10))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert path.read_bytes() == b"x" * 5_000_000
    (tmp_path / f".other.{writer.pid}.0badcafe.tfmeta-tmp").write_bytes(b"half")
    with atomic.replacing(tmp_path / "live") as file:
        file.write(NEW)
        atomic.sweep(tmp_path)
        assert len(leftovers(tmp_path)) == 1
    assert (tmp_path / "live").read_bytes() == NEW
    assert leftovers(tmp_path) == []


DIE_WRITING = """
import os, signal, sys
from tfmeta.store import atomic
with atomic.replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def left_by_a_kill(path):
    """Return the temporary file that a killed writer of `path` leaves, and the writer's process id."""
    writer = subprocess.Popen([sys.executable, "-B", "-c", DIE_WRITING, path])
    assert writer.wait(60) == -signal.SIGKILL
    (left,) = path.parent.glob(f".{path.name}.*.tfmeta-tmp")
    return left, writer.pid


def test_only_temporary_files_of_this_machines_dead_processes_are_swept(tmp_path):
    left, pid = left_by_a_kill(tmp_path / "below" / "a.file.npz")
    host = left.name.split(".")[-3].removesuffix(f"-{pid}")
    stay = [
        f".a.{'0' * 8}-{pid}.0badcafe.tfmeta-tmp",  # of another machine
        f".a.{host}-{os.getpid()}.0badcafe.tfmeta-tmp",  # of a living process
        f".a.{os.getpid()}.0badcafe.tfmeta-tmp",
        ".tfmeta-tmp", ".a.tfmeta-tmp", ".a.b.c.tfmeta-tmp", f".a.{pid}.tfmeta-tmp", f"a.{pid}.0badcafe.tfmeta-tmp",
    ]  # fmt: skip
    for name in stay:
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / f".folder.{pid}.0badcafe.tfmeta-tmp").mkdir()
    old = tmp_path / f".a.b.{pid}.0badcafe.tfmeta-tmp"  # before names had a host
    old.write_bytes(b"half")
    assert atomic.sweep(tmp_path, below=False) == [old] and left.exists()
    assert atomic.sweep(tmp_path) == [left]
    assert {path.name for path in tmp_path.iterdir()} == {*stay, "below", f".folder.{pid}.0badcafe.tfmeta-tmp"}
