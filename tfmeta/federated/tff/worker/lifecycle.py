"""The life of TFF's worker, the C++ process that runs the computations. Imports neither TensorFlow nor TFF.

Left to itself the worker outlives every exit of its parent, holds its output open, and listens on every network
interface without authentication. Here it is started so that the kernel kills it when this process ends in
whatever way (`launch`, `spawn`), writes to a log file, and listens on a Unix socket in a private folder
(`listen`) that is removed once we are connected, so that nobody else ever can be.
"""

import importlib.util
import logging
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from pathlib import Path

import psutil

from tfmeta.errors import ConfigError, StorageError, WorkerError
from tfmeta.federated.tff.worker import listen
from tfmeta.federated.tff.worker.log import WorkerLog
from tfmeta.federated.tff.worker.spawn import IsolationError, launch
from tfmeta.utils.threads import cores

logger = logging.getLogger(__name__)

POLL = 0.05  # seconds between looks at whether the worker still lives
MAX_SOCKET_PATH = 100  # the kernel's limit is 108 bytes
LIKELY_CAUSES = {
    signal.SIGKILL: "most often the kernel, because memory ran out",
    signal.SIGILL: "this processor lacks instructions that TFF's worker was built for",
}

NOT_ISOLATED = """\
TFF's worker could not be shut off from the network on this machine: %s.
It listens on port %d of EVERY network interface, without authentication: whoever reaches that port can read and write
your files as you, until this run ends. Close the port with a firewall, or run where nobody else can reach it (a
container without network), or use Linux 5.9 or later with seccomp, or run without TFF (runtime=inprocess)."""


class Worker:
    """A worker process and its address for gRPC, ``target``; ``isolated`` says whether it is off the network.

    It ends with ``stop()``, with this object, or with this process, whichever comes first.
    """

    def __init__(self, process: subprocess.Popen, log: WorkerLog, folder: Path | None):
        self.process = process
        self.log = log
        self.isolated = folder is not None
        self.target = f"unix:{_socket_path(folder)}" if folder else ""
        self._folder = folder
        self.stop = weakref.finalize(self, _end, process, folder, os.getpid())  # also when the interpreter exits

    @property
    def pid(self) -> int:
        """Process id of the worker itself (the launcher became it)."""
        return self.process.pid

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def seal(self) -> None:
        """Remove the socket's folder: the connections that exist stay, and nobody can make another."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def obituary(self, when: str) -> WorkerError:
        """What to raise about a worker that has died; it names the cause, the log and its last lines."""
        cause = _cause(self.process.wait())
        return WorkerError(f"TFF's worker process (pid {self.pid}) died {when}: {cause}.\n{self.log.tail()}")


def find_binary() -> Path:
    """Where the installed TFF has its worker, found without importing TFF. Raises WorkerError."""
    spec = importlib.util.find_spec("tensorflow_federated")
    if spec is None or spec.origin is None:
        raise WorkerError("TensorFlow Federated is not installed in this environment; `make` installs it")
    return Path(spec.origin).parent / "data" / "worker_binary"


def start(log_path: Path, threads: int | None = None, timeout: float = 60, binary: Path | None = None) -> Worker:
    """Start a worker that runs ``threads`` operations at once (default: one a core), each on one thread.

    Where the machine does not allow to isolate it, it listens on a network port and a warning says so.
    Raises WorkerError (missing binary, dies at once, does not listen within ``timeout`` seconds), ConfigError
    (``threads`` below 1), StorageError (``log_path`` or the folder for temporary files cannot be written).
    """
    threads = cores() if threads is None else threads
    if threads < 1:
        raise ConfigError(f"threads = {threads}: TFF's worker needs at least 1")
    binary = find_binary() if binary is None else Path(binary)
    if not binary.is_file() or not os.access(binary, os.X_OK):
        raise WorkerError(f"{binary}: TFF's worker is missing or not executable; install tensorflow-federated again")
    # Port 0: in the network's case the kernel picks a free one, so no two workers ever meet on one.
    request = _Request([str(binary), "--port=0"], _environment(threads), Path(log_path), time.monotonic() + timeout)
    try:
        return _start_on_socket(request)
    except IsolationError as error:
        worker, port = _start_on_port(request)
        logger.warning(NOT_ISOLATED, error, port)
        return worker


class _Request:
    """What to run, and until when it has to listen."""

    def __init__(self, command, environment, log_path, deadline):
        self._command = command
        self._environment = environment
        self._log_path = log_path
        self.deadline = deadline

    def worker(self, folder: Path | None) -> tuple[Worker, int]:
        """A worker that was just executed, and the descriptor that its ``listen`` notifies (-1 without folder)."""
        log = WorkerLog(self._log_path)
        with log.open() as stream:
            launched = launch(self._command, folder is not None, self._environment, stream)
        worker = Worker(launched.process, log, folder)
        try:
            return worker, launched.handshake(self.deadline)
        except WorkerError as error:
            worker.stop()
            raise WorkerError(f"{error}\n{log.tail()}") from None
        except BaseException:
            worker.stop()
            raise

    def wait(self, worker, look):
        """Return what ``look()`` returns once that is true, asking again and again; on any error end the worker."""
        try:
            while not (found := look()):
                if not worker.alive():
                    raise worker.obituary("while it started")
                if time.monotonic() > self.deadline:
                    raise WorkerError(f"TFF's worker (pid {worker.pid}) did not listen in time\n{worker.log.tail()}")
            return found
        except BaseException:
            worker.stop()
            raise


def _start_on_socket(request: _Request) -> Worker:
    folder = _private_folder()
    try:
        with listen.listening_socket(_socket_path(folder)) as listener:
            worker, notification = request.worker(folder)
            try:
                request.wait(worker, lambda: _is_readable(notification))
                listen.answer_listen(notification, listener)
                return worker
            except OSError as error:
                worker.stop()
                raise IsolationError(f"seccomp user notification: {error}") from error
            finally:
                os.close(notification)  # from here on a further listen of the worker fails
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _start_on_port(request: _Request) -> tuple[Worker, int]:
    worker, _ = request.worker(None)
    port = request.wait(worker, lambda: _listening_port(worker.pid))
    worker.target = f"127.0.0.1:{port}"
    return worker, port


def _environment(threads: int) -> dict[str, str]:
    """Operations run side by side, one thread each; twice as fast as all threads in one operation (design.md)."""
    return os.environ | {
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": str(threads),
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "1",  # warnings and errors
    }


def _private_folder() -> Path:
    """A new folder that only this user can enter, with a path short enough for a Unix socket in it."""
    for base in (tempfile.gettempdir(), "/tmp"):
        if len(os.fsencode(_socket_path(Path(base, "tfmeta-12345678")))) <= MAX_SOCKET_PATH:
            try:
                return Path(tempfile.mkdtemp(prefix="tfmeta-", dir=base))
            except OSError as error:
                raise StorageError(f"{base}: cannot make a folder for TFF's worker ({error}); set TMPDIR") from error
    raise AssertionError("/tmp is short enough")


def _socket_path(folder: Path) -> str:
    return str(folder / "worker")


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return any(event & select.POLLIN for _, event in poll.poll(POLL * 1000))  # not where it only hung up


def _listening_port(pid: int) -> int | None:
    time.sleep(POLL)
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return None  # it is gone; the caller looks at that itself
    return next((each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN), None)


def _cause(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    likely = LIKELY_CAUSES.get(-code)
    return f"killed by signal {-code} ({name}{f', {likely}' if likely else ''})"


def _end(process, folder, owner):
    if os.getpid() != owner:  # a fork of the process whose worker it is
        return
    process.kill()
    process.wait()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
