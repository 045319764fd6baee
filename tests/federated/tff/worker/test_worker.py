"""The life of TFF's worker, and that nobody but us can reach it.

Everything here is real: workers, signals, system-call filters. Our own programs take the worker's place only where the
worker could not misbehave.
"""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
from fixtures_processes import gone, needs_seccomp, program

from tfmeta.errors import ConfigError, StorageError, WorkerError
from tfmeta.federated.tff.worker import lifecycle as workers

pytestmark = pytest.mark.timeout(120)

# ---------------------------------------------------------------------------------------------------------------
# Programs that use a worker and end in some way. They print one line of JSON, and must neither hang nor leave a worker.

WITH_WORKER = """
    import json, os, signal, sys, threading, time
    from tfmeta.federated.tff.worker import lifecycle as workers
    assert not {"tensorflow", "tensorflow_federated"} & set(sys.modules)
    started = []
    if ENDING == "thread":
        thread = threading.Thread(target=lambda: started.append(workers.start(LOG)))
        thread.start(); thread.join(); time.sleep(0.3)
    else:
        started.append(workers.start(LOG))
    worker = started[0]
    if ENDING == "fork":
        child = os.fork()
        if child == 0:
            sys.exit(0)  # runs the exit handlers that it inherited
        os.waitpid(child, 0)
        assert not worker.isolated or os.path.exists(worker.target.removeprefix("unix:"))
    worker.seal()
    said = json.dumps({"pid": worker.pid, "alive": worker.alive()})
    if ENDING == "SIGINT":
        try:
            print(said, flush=True)  # the signal may come as soon as this is read
            time.sleep(60)
        except KeyboardInterrupt:
            time.sleep(0.5)
            print(json.dumps({"alive after Ctrl-C": worker.alive()}), flush=True)
            raise
    print(said, flush=True)
    if ENDING == "exception":
        raise ValueError("as it happens")
    if ENDING == "stop":
        worker.stop(); worker.stop()
    if ENDING in ("SIGTERM", "SIGKILL"):
        time.sleep(60)
"""


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("stop", 0),
        ("success", 0),
        ("thread", 0),
        ("fork", 0),
        ("exception", 1),
        ("SIGINT", -signal.SIGINT),
        ("SIGTERM", -signal.SIGTERM),
        ("SIGKILL", -signal.SIGKILL),
    ],
)
def test_no_worker_outlives_its_program(ending, code, tmp_path):
    process = program(WITH_WORKER, ENDING=ending, LOG=str(tmp_path / "worker.log"))
    first = process.stdout.readline()
    if ending.startswith("SIG"):
        os.killpg(process.pid, getattr(signal, ending))  # to the whole group, as a terminal's Ctrl-C
    rest, errors = process.communicate(timeout=30)  # ends only if the worker does not hold its output
    assert process.returncode == code, errors
    assert json.loads(first)["alive"]
    assert gone(json.loads(first)["pid"])
    if ending == "SIGINT":
        assert json.loads(rest) == {"alive after Ctrl-C": True}
    if code == 0:
        assert not errors
    assert [path.name for path in tmp_path.iterdir()] == ["worker.log"]


# ---------------------------------------------------------------------------------------------------------------
# Nobody else can reach it


@pytest.fixture
def started(tmp_path):
    worker = workers.start(tmp_path / "worker.log")
    yield worker
    worker.stop()


@needs_seccomp
def test_the_worker_has_no_network_socket_at_all(started):
    assert started.isolated
    assert started.target.startswith("unix:")
    assert psutil.Process(started.pid).net_connections("inet") == []


@needs_seccomp
def test_its_socket_is_private_and_disappears(started):
    path = Path(started.target.removeprefix("unix:"))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    started.seal()
    assert not path.parent.exists()
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(FileNotFoundError):
        client.connect(str(path))


def stand_in(folder, source):
    """Return an executable Python program to start in the worker's place."""
    path = folder / "stand_in"
    path.write_text(f"#!{sys.executable} -IS\n" + textwrap.dedent(source))
    path.chmod(0o700)
    return path


SERVER = """
    import socket, time
    server = socket.socket()
    server.bind(("0.0.0.0", 0))
    port = server.getsockname()[1]
    server.listen(5)
    second = socket.socket()
    try:
        second.listen(5)
        again = "listens"
    except OSError as error:
        again = error.strerror
    server = socket.socket(fileno=server.detach())  # reads the socket's family anew
    server.setblocking(True)
    client, _ = server.accept()
    client.sendall(f"{port} {server.family.name} {again}".encode())
    time.sleep(60)
"""


@needs_seccomp
def test_a_server_that_listens_on_tcp_is_reachable_only_by_the_unix_socket(tmp_path):
    worker = workers.start(tmp_path / "log", binary=stand_in(tmp_path, SERVER))
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(worker.target.removeprefix("unix:"))
            port, family, again = client.recv(100).decode().split(" ", 2)
        assert family == "AF_UNIX"
        assert again == os.strerror(38)  # ENOSYS: no further listen
        addresses = {entry.address for entries in psutil.net_if_addrs().values() for entry in entries}
        ipv4 = [address for address in addresses if address.count(".") == 3]
        assert "127.0.0.1" in ipv4
        for address in ipv4:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((address, int(port)), timeout=5)
    finally:
        worker.stop()


IN_A_SANDBOX = """
    import ctypes, json, logging, socket, struct
    # As some containers do: seccomp(2) is refused. load nr; if it is 317: EPERM; else allow
    code = b"".join(struct.pack("HBBI", *each) for each in [
        (0x20, 0, 0, 0), (0x15, 0, 1, 317), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)])
    program = ctypes.create_string_buffer(code, len(code))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(program)))
    assert libc.prctl(22, 2, header, 0, 0) == 0

    import grpc, psutil
    from tfmeta.federated.tff.worker import lifecycle as workers

    warned = []
    class Handler(logging.Handler):
        def emit(self, record):
            warned.append(record.levelname + " " + record.getMessage())
    logging.getLogger("tfmeta").addHandler(Handler())
    worker = workers.start(LOG)
    grpc.channel_ready_future(grpc.insecure_channel(worker.target)).result(timeout=20)
    network = psutil.Process(worker.pid).net_connections()
    listening = [each.laddr.port for each in network if each.status == "LISTEN"]
    print(json.dumps({"pid": worker.pid, "target": worker.target, "isolated": worker.isolated,
                      "listening": listening, "warned": warned}), flush=True)
"""


def test_a_worker_that_cannot_be_isolated_runs_with_a_warning(tmp_path):
    process = program(IN_A_SANDBOX, LOG=str(tmp_path / "worker.log"))
    output, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    seen = json.loads(output)
    assert not seen["isolated"]
    (port,) = seen["listening"]
    assert seen["target"] == f"127.0.0.1:{port}"
    (warning,) = seen["warned"]
    assert warning.startswith("WARNING")
    assert f"port {port} of EVERY network interface, without authentication" in warning
    assert "Operation not permitted" in warning
    assert "Traceback" not in errors
    assert gone(seen["pid"])
    assert [path.name for path in tmp_path.iterdir()] == ["worker.log"]


# ---------------------------------------------------------------------------------------------------------------
# A start that fails


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
def test_a_launcher_that_ends_or_hangs_is_an_error_and_never_opens_the_network(tmp_path, monkeypatch, caplog, end, words):
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
    assert "signal 9 (SIGKILL)" in failing_start(tmp_path, SERVER)
    assert not caplog.records


def test_a_log_in_memory_is_quoted_without_a_path():
    log = workers.WorkerLog(Path(f"/proc/self/fd/{os.memfd_create('log')}"))
    with log.open() as stream:
        stream.write(b"no such instruction\n")
    assert log.tail() == "Its log is kept in memory; the last lines:\n  | no such instruction"


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


def test_a_temporary_folder_with_a_long_path_works(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    worker = workers.start(tmp_path / "worker.log")
    worker.stop()
    assert not any(long.iterdir())
