"""What a killed process left half-written is removed by the next command; what a live one writes is not."""

import os
import signal
import subprocess
import sys

import pytest
from kinds import ATTACKED, remove
from places import assert_same

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(600)]
FOLDERS = (
    "cache/banks", "cache/shards", "results/glyphs-smoke*", "results/glyphs-smoke*/parts",
    "results/models/*-attack-unknown-*", "out",
)  # fmt: skip
WRITER = """
import contextlib, sys, time
from tfmeta.store import atomic
with contextlib.ExitStack() as files:
    for path in sys.argv[1:]:
        file = files.enter_context(atomic.replacing(path))
        file.write(bytes(100_000)); file.flush()
    print("written", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_temporary_files_of_killed_processes_are_removed(number, both, tmp_path):
    reference = both["inprocess"][0]
    place = reference.copy(tmp_path / "place")
    remove(place, (*ATTACKED, r"cache/banks/.*\.json"))
    writer, temporary = _writer(place, "half-written.npz")
    os.kill(writer.pid, number)
    writer.communicate()
    assert all(path.exists() for path in temporary)
    assert_same(place, reference, place.run())


def test_temporary_files_of_live_processes_stay(both, tmp_path):
    reference = both["inprocess"][0]
    place = reference.copy(tmp_path / "place")
    remove(place, (*ATTACKED, r"cache/banks/.*\.json"))
    writer, temporary = _writer(place, "half-written.npz")
    try:
        ended = place.run()
        assert all(path.exists() for path in temporary)
    finally:
        writer.kill()
        writer.communicate()
    assert_same(place, reference, ended, but=[str(path.relative_to(place.folder)) for path in temporary])


def _writer(place, name):
    """Start a process that writes a file in each folder; return it, and its temporary files."""
    before = set(place.folder.rglob("*"))
    paths = [folder / name for pattern in FOLDERS for folder in place.folder.glob(pattern)]
    words = [sys.executable, "-c", WRITER, *map(str, paths)]
    writer = subprocess.Popen(words, env=place.environment(), stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "written\n"
    temporary = sorted(set(place.folder.rglob("*")) - before)
    assert len(temporary) == len(paths) == len(FOLDERS)
    return writer, temporary
