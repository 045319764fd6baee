"""The life of TFF's worker, and that nobody but us can reach it.

Everything here is real: workers, signals, system-call filters. Our own programs take the worker's place only where the
worker could not misbehave.
"""

import json
import os
import signal
import socket
import stat
from pathlib import Path

import psutil
import pytest
from fixtures_processes import gone, needs_seccomp, program, stand_in

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
    from tfmeta.errors import WorkerError
    from tfmeta.federated.tff.worker import lifecycle as workers

    warned = []
    class Handler(logging.Handler):
        def emit(self, record):
            warned.append(record.levelname + " " + record.getMessage())
    logging.getLogger("tfmeta").addHandler(Handler())
    try:
        worker = workers.start(LOG, allow_open_port=ARGUMENT)
    except WorkerError as error:
        print(json.dumps({"error": str(error), "warned": warned, "left": len(psutil.Process().children())}), flush=True)
    else:
        grpc.channel_ready_future(grpc.insecure_channel(worker.target)).result(timeout=20)
        network = psutil.Process(worker.pid).net_connections()
        listening = [each.laddr.port for each in network if each.status == "LISTEN"]
        print(json.dumps({"pid": worker.pid, "target": worker.target, "isolated": worker.isolated,
                          "listening": listening, "warned": warned}), flush=True)
"""


def in_a_sandbox(tmp_path, argument):
    process = program(IN_A_SANDBOX, LOG=str(tmp_path / "worker.log"), ARGUMENT=argument)
    output, errors = process.communicate(timeout=90)
    assert process.returncode == 0 and "Traceback" not in errors, errors
    assert [path.name for path in tmp_path.iterdir()] == ["worker.log"]
    return json.loads(output)


@pytest.mark.parametrize("variable", [None, "0", "yes"])
def test_a_worker_that_cannot_be_isolated_does_not_start(variable, tmp_path, monkeypatch):
    monkeypatch.delenv(workers.ALLOW_OPEN_PORT, raising=False)
    if variable is not None:
        monkeypatch.setenv(workers.ALLOW_OPEN_PORT, variable)
    seen = in_a_sandbox(tmp_path, argument=False)
    assert seen["warned"] == [] and seen["left"] == 0
    for part in ("Operation not permitted", "EVERY network interface", "runtime=inprocess", "--allow-open-port",
                 "allow_open_port=True", "TFMETA_ALLOW_OPEN_PORT=1"):  # fmt: skip
        assert part in seen["error"]


@pytest.mark.parametrize("way", ["argument", "variable"])
def test_a_worker_that_cannot_be_isolated_runs_with_a_warning_where_an_open_port_is_allowed(way, tmp_path, monkeypatch):
    monkeypatch.setenv(workers.ALLOW_OPEN_PORT, "1" if way == "variable" else "")
    seen = in_a_sandbox(tmp_path, argument=way == "argument")
    assert not seen["isolated"]
    (port,) = seen["listening"]
    assert seen["target"] == f"127.0.0.1:{port}"
    (warning,) = seen["warned"]
    assert warning.startswith("WARNING")
    assert f"port {port} of EVERY network interface, without authentication" in warning
    assert "Operation not permitted" in warning
    assert gone(seen["pid"])


def test_a_log_in_memory_is_quoted_without_a_path():
    log = workers.WorkerLog(Path(f"/proc/self/fd/{os.memfd_create('log')}"))
    with log.open() as stream:
        stream.write(b"no such instruction\n")
    assert log.tail() == "Its log is kept in memory; the last lines:\n  | no such instruction"


def test_a_temporary_folder_with_a_long_path_works(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    worker = workers.start(tmp_path / "worker.log")
    worker.stop()
    assert not any(long.iterdir())
