"""A disk that fills up ends a command in a sentence, and with room again the same command stores the same."""

import os
import shutil
import subprocess

import pytest
from places import Place, Running, assert_same, at_once

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]
# root may mount, and others may in a namespace of their own, where the system allows that
NAMESPACES = (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"])
NEEDED = {"results": 1 << 20, "cache": 84 << 20, "out": 320 << 10}  # bytes that a smoke run on glyphs stores, at most

# Runs a command in a folder on a disk of $2 bytes, then again on a large one, and copies the folder to its real place.
TWICE = """
    disk=$1; bytes=$2; copy=$3; shift 3
    mount -t tmpfs -o size="$bytes" faults "$disk" || exit 99
    "$@"; echo "first exit code: $?"
    ls -A "$disk" >/dev/null || exit 98
    mount -o remount,size=1g "$disk" || exit 97
    "$@"; code=$?
    cp -a "$disk/." "$copy" || exit 96
    umount "$disk"
    exit "$code"
"""


@pytest.fixture(scope="module")
def namespace(tmp_path_factory):
    """The words that give a command mounts of its own; skips where no one may mount."""
    folder = str(tmp_path_factory.mktemp("mounted"))
    for words in NAMESPACES:
        command = [*words, "mount", "-t", "tmpfs", "-o", "size=64k", "faults", folder]
        if shutil.which("unshare") and subprocess.run(command, capture_output=True).returncode == 0:
            return words
    pytest.skip("no right to mount a small disk: run as root, or where unprivileged user namespaces are allowed")


@pytest.mark.parametrize("name", NEEDED)
def test_a_disk_that_fills_up_changes_no_result(name, namespace, both, tmp_path, chance):
    disks = [(number, chance.choice(sorted(both)), int(chance.random() ** 2 * NEEDED[name])) for number in range(4)]
    print(f"disks for {name} (number, runtime, bytes):", disks)
    at_once(lambda disk: _check(namespace, both, name, tmp_path, *disk), disks)


def _check(namespace, both, name, folder, number, runtime, size):
    reference, place = both[runtime][0], Place(folder / str(number), runtime)
    copy = folder / f"copy-{number}"
    copy.mkdir()
    disk = [place.folder / name, max(size, os.sysconf("SC_PAGESIZE")), copy]
    words = [*namespace, "sh", "-c", TWICE, "twice", *map(str, disk), *place.words()]
    ended = Running(words, place.environment(), place.folder / "output.log").ended()
    first, _, _ = ended.output.partition("first exit code: ")
    assert "first exit code: 0" in ended.output or "first exit code: 1" in ended.output, ended.output
    assert "first exit code: 0" in ended.output or "Error: " in first, ended.output
    shutil.copytree(copy, place.folder / name, dirs_exist_ok=True)
    assert_same(place, reference, ended)
