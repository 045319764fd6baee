"""The folder of the worker's socket: what killed programs left is removed, and nothing else is."""

import os
import signal
from pathlib import Path

import pytest
from fixtures_processes import needs_seccomp, program

from tfmeta.federated.tff.worker import folder as folders
from tfmeta.federated.tff.worker import lifecycle as workers


@pytest.fixture(autouse=True)
def base(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


STARTS = """
    import time
    from tfmeta.federated.tff.worker import lifecycle
    worker = lifecycle.start(LOG)
    print(worker.target, flush=True)
    time.sleep(60)
"""


@needs_seccomp
def test_a_start_removes_what_a_killed_program_left_and_keeps_what_a_living_one_uses(base):
    (killed, left), (alive, used) = (start(base, name) for name in ("killed", "alive"))
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert left.exists() and used.exists()
    worker = workers.start(base / "worker.log")
    worker.seal()
    worker.stop()
    assert not left.parent.exists() and used.exists()
    os.kill(alive.pid, signal.SIGKILL)
    alive.wait()
    folders.sweep(base)
    assert not list(base.glob(f"{folders.PREFIX}*"))


def start(base, name):
    """Start a program with a worker whose socket is still there; return it with the socket's path."""
    process = program(STARTS, LOG=str(base / f"{name}.log"))
    path = process.stdout.readline().strip().removeprefix("unix:")
    return process, Path(path)


def test_a_sweep_removes_no_files_that_we_do_not_make(base):
    other = base / f"{folders.PREFIX}other"
    other.mkdir()
    (other / "notes").write_text("mine")
    linked = base / f"{folders.PREFIX}linked"
    (base / "elsewhere").mkdir()
    linked.symlink_to(base / "elsewhere")
    file = base / f"{folders.PREFIX}file"
    file.write_text("")
    folders.sweep(base)
    assert (other / "notes").exists() and linked.is_symlink() and (base / "elsewhere").exists() and file.exists()


def test_a_folder_that_is_swept_before_it_is_locked_is_made_again(monkeypatch):
    make, made = folders.tempfile.mkdtemp, []

    def swept_at_once(**given):
        made.append(make(**given))
        if len(made) == 1:
            folders.sweep(given["dir"])
        return made[-1]

    monkeypatch.setattr(folders.tempfile, "mkdtemp", swept_at_once)
    folder = folders.SocketFolder()
    assert len(made) == 2 and folder.path.exists() and str(folder.path) == made[1]
    folder.remove()
    folder.remove()
    assert not folder.path.exists()


def test_folders_of_one_process_do_not_remove_each_other():
    first, second = folders.SocketFolder(), folders.SocketFolder()
    assert first.path.exists() and second.path.exists()
    first.remove()
    second.remove()
