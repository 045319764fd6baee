"""One run at a time in a folder, with real processes."""

import contextlib
import subprocess
import sys
import time

import pytest

from tfmeta.errors import BusyError, StorageError
from tfmeta.store import lock

HOLD = """
import sys
from tfmeta.store import lock
with lock.hold(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""
TRY = """
import sys
from tfmeta.errors import BusyError
from tfmeta.store import lock
try:
    with lock.hold(sys.argv[1]):
        print("held")
except BusyError as error:
    print(error)
"""


@contextlib.contextmanager
def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-B", "-c", HOLD, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def attempt(folder):
    done = subprocess.run([sys.executable, "-B", "-c", TRY, folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_second_run_is_refused_while_the_first_holds_the_folder(tmp_path):
    folder = tmp_path / "glyphs-smoke"
    with holder(folder) as first:
        begun = time.monotonic()
        answer = attempt(folder)
        assert time.monotonic() - begun < 20  # it does not wait
        assert f"{folder} is in use by another run (process {first.pid}, since " in answer
        assert attempt(tmp_path / "glyphs-quick") == "held"
        with pytest.raises(BusyError, match=f"process {first.pid}"), lock.hold(folder):
            pass
        first.communicate("")  # ends normally
        assert attempt(folder) == "held"
    assert not (folder / ".lock.holder").exists()


def test_a_killed_run_does_not_block(tmp_path):
    with holder(tmp_path) as first:
        (tmp_path / f".half.json.{first.pid}.0badcafe.tfmeta-tmp").write_bytes(b"half")
        first.kill()
        first.wait()
        assert (tmp_path / ".lock.holder").exists()  # it could not clean up
        assert attempt(tmp_path) == "held"
    assert sorted(path.name for path in tmp_path.iterdir()) in ([], [".lock"])


def test_a_second_run_of_the_same_process_is_refused(tmp_path):
    with lock.hold(tmp_path) as folder:
        assert folder == tmp_path
        with pytest.raises(BusyError), lock.hold(tmp_path):
            pass
        with lock.hold(tmp_path / "below"):  # a folder of its own
            pass
    with lock.hold(tmp_path):
        pass


def test_an_exception_releases_the_folder(tmp_path):
    with pytest.raises(KeyError), lock.hold(tmp_path):
        raise KeyError
    assert attempt(tmp_path) == "held"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file cannot be used for a run"), lock.hold(tmp_path / "file"):
        pass
