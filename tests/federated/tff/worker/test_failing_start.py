"""A start of TFF's worker that fails is one clear error, and leaves nothing behind.

Our own programs take the place of the worker and of the launcher.
"""

import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from fixtures_processes import gone, needs_seccomp, stand_in

from tfmeta.errors import ConfigError, StorageError, WorkerError
from tfmeta.federated.tff.worker import lifecycle as workers

pytestmark = pytest.mark.timeout(120)

LISTENER = "import socket; socket.create_server(('127.0.0.1', 0)).accept()"


def failing_start(tmp_path, source=None, binary=None, **options):
    with pytest.raises(WorkerError) as caught:
        workers.start(tmp_path / "worker.log", binary=binary or stand_in(tmp_path, source), **options)
    return str(caught.value)


def test_a_launcher_whose_parent_is_gone_starts_nothing():
    ours, theirs = socket.socketpair()
    launcher = Path(workers.__file__).with_name("launch.py")
    command = [sys.executable, "-I", "-S", launcher, "1", str(theirs.fileno()), "/bin/echo", "started"]
    with ours, theirs:
        ended = subprocess.run(command, pass_fds=[theirs.fileno()], capture_output=True, timeout=30)
    assert (ended.returncode, ended.stdout) == (1, b"")


@pytest.mark.parametrize(
    ("end", "words"), [("sys.exit('no ctypes here')", "exit code 1"), ("time.sleep(60)", "did not listen in time")]
)
def test_a_launcher_that_ends_or_hangs_is_an_error_and_opens_no_network(tmp_path, monkeypatch, caplog, end, words):
    pids = tmp_path / "pids"
    launcher = stand_in(tmp_path, f"import os, sys, time; print(os.getpid(), file=open({str(pids)!r}, 'a')); {end}")
    monkeypatch.setattr(sys, "executable", str(launcher))
    message = failing_start(tmp_path, binary=launcher, timeout=2)
    assert words in message and str(tmp_path / "worker.log") in message
    assert ("no ctypes here" in message) == (words == "exit code 1")
    assert not caplog.records
    (pid,) = pids.read_text().split()  # it was started once: no second attempt, on the network
    assert gone(int(pid))


@needs_seccomp
def test_a_worker_killed_while_its_listen_is_answered_is_an_error(tmp_path, monkeypatch, caplog):
    answer = workers.listen.answer_listen

    def killed_before(*arguments):
        (worker,) = (each for each in psutil.Process().children() if str(tmp_path) in " ".join(each.cmdline()))
        worker.kill()
        assert gone(worker.pid)
        answer(*arguments)

    monkeypatch.setattr(workers.listen, "answer_listen", killed_before)
    assert "signal 9 (SIGKILL)" in failing_start(tmp_path, LISTENER)
    assert not caplog.records


def test_a_missing_binary_is_named(tmp_path):
    assert str(tmp_path / "none") in failing_start(tmp_path, binary=tmp_path / "none")


def test_a_worker_that_dies_at_once_is_reported_with_its_last_lines(tmp_path):
    message = failing_start(tmp_path, "import sys; sys.exit('no such instruction')")
    assert "exit code 1" in message
    assert "no such instruction" in message
    assert str(tmp_path / "worker.log") in message


def test_a_worker_killed_while_it_starts_names_the_signal(tmp_path):
    message = failing_start(tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert "signal 9 (SIGKILL)" in message


def test_a_damaged_binary_is_reported(tmp_path):
    path = tmp_path / "damaged"
    path.write_bytes(b"\\x00 not a program")
    path.chmod(0o700)
    assert "Exec format error" in failing_start(tmp_path, binary=path)


@pytest.mark.slow
def test_a_worker_that_never_listens_is_ended(tmp_path):
    source = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    assert "did not listen in time" in failing_start(tmp_path, source, timeout=5)
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_failed_start_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    failing_start(tmp_path, "raise SystemExit(3)")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stand_in", "worker.log"]


def test_the_log_of_an_earlier_worker_is_kept_but_not_quoted(tmp_path):
    failing_start(tmp_path, "raise SystemExit('the first')")
    message = failing_start(tmp_path, "raise SystemExit('the second')")
    assert "the second" in message
    assert "the first" not in message
    assert "the first" in (tmp_path / "worker.log").read_text()


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/worker\.log"):
        workers.start(tmp_path / "file" / "worker.log")


def test_zero_threads_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="threads = 0"):
        workers.start(tmp_path / "worker.log", threads=0)
