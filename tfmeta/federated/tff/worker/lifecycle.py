"""The life of TFF's worker, the C++ process that runs the computations.

Left to itself the worker outlives its parent and listens on every network interface without authentication. Here the
kernel kills it when this process ends (`launch`, `spawn`), and it listens on a Unix socket (`listen`) in a private
folder (`folder`), which is removed once we are connected, so that nobody else can connect.
"""

import contextlib
import functools
import importlib.util
import logging
import os
import select
import signal
import socket
import subprocess
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from tfmeta.errors import ConfigError, WorkerError
from tfmeta.federated.tff.worker import listen
from tfmeta.federated.tff.worker.folder import SocketFolder
from tfmeta.federated.tff.worker.log import WorkerLog
from tfmeta.federated.tff.worker.spawn import IsolationError, launch, notification
from tfmeta.utils.threads import cores

logger = logging.getLogger(__name__)

POLL = 0.05  # seconds between looks at whether the worker still lives
ONE_THREAD_EACH = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
LIKELY_CAUSES = {
    signal.SIGKILL: "signal 9 (SIGKILL), most often sent by the kernel because memory ran out",
    signal.SIGILL: "signal 4 (SIGILL): this processor lacks instructions that TFF's worker was built for",
}
ALLOW_OPEN_PORT = "TFMETA_ALLOW_OPEN_PORT"  # variable of the environment; "1" allows what NOT_ISOLATED warns of
REFUSED = f"""\
TFF's worker cannot be shut off from the network on this machine: %s.
It would listen on a port of EVERY network interface, without authentication: whoever reaches that port can read and
write your files as you. Run without TFF (runtime=inprocess), or use Linux 5.9 or later with seccomp. Where nobody else
can reach the port, behind a firewall or in a container without network, allow it: --allow-open-port, in Python
allow_open_port=True, or {ALLOW_OPEN_PORT}=1 in the environment."""
NOT_ISOLATED = """\
TFF's worker could not be shut off from the network on this machine: %s.
Until this run ends it listens on port %d of EVERY network interface, without authentication: whoever reaches that port
can read and write your files as you. Close the port with a firewall, run in a container without network, use Linux 5.9
or later with seccomp, or run without TFF (runtime=inprocess)."""


class Worker:
    """A worker process; it ends with `stop()`, with this object, or with this process, whichever comes first."""

    def __init__(self, process: subprocess.Popen, log: WorkerLog, folder: SocketFolder | None):
        self.process, self.pid, self.log, self._folder = process, process.pid, log, folder
        self.isolated = folder is not None  # off the network
        self.target = f"unix:{folder.socket}" if folder else ""  # address for gRPC
        self.stop = weakref.finalize(self, _end, process, folder, os.getpid())  # also when the interpreter exits

    def alive(self) -> bool:
        """Return whether the process still runs."""
        return self.process.poll() is None

    def seal(self) -> None:
        """Remove the socket's folder: existing connections stay, and nobody can make another."""
        if self._folder is not None:
            self._folder.remove()

    def wait(self, look: Callable[[], Any], deadline: float) -> Any:
        """Call `look` until it returns something true, and return that; on any error end the worker.

        Raises `WorkerError` if the worker dies, or when `deadline` (monotonic clock) has passed.
        """
        try:
            while not (found := look()):
                if not self.alive():
                    raise self.death("while it started")
                if time.monotonic() > deadline:
                    raise WorkerError(f"TFF's worker (pid {self.pid}) did not listen in time\n{self.log.tail()}")
            return found
        except BaseException:
            self.stop()
            raise

    def death(self, when: str) -> WorkerError:
        """Return the error about a worker that died; it names the cause, the log and its last lines."""
        code = self.process.wait()
        cause = f"exit code {code}" if code >= 0 else f"killed by {LIKELY_CAUSES.get(-code) or signal.strsignal(-code)}"
        return WorkerError(f"TFF's worker process (pid {self.pid}) died {when}: {cause}.\n{self.log.tail()}")


def start(
    log_path: Path, threads: int | None = None, timeout: float = 60, binary: Path | None = None,
    allow_open_port: bool = False,
) -> Worker:  # fmt: skip
    """Start a worker that only this process can reach, or none.

    Args:
        log_path: File for its output.
        threads: How many operations it runs at once, each on one thread; by default one per core.
        timeout: Seconds within which it must listen.
        binary: The program; by default the installed TFF's.
        allow_open_port: Where it cannot be isolated, let it listen on a network port, with a warning. The variable
            TFMETA_ALLOW_OPEN_PORT=1 of the environment allows this too.

    Raises:
        StorageError: The log or the folder for temporary files cannot be written.
        WorkerError: The binary is missing, dies at once, does not listen in time, or cannot be isolated.
    """
    threads = cores() if threads is None else threads
    if threads < 1:
        raise ConfigError(f"threads = {threads}: TFF's worker needs at least 1")
    if binary is None:  # found without importing TFF
        binary = Path(importlib.util.find_spec("tensorflow_federated").origin).parent / "data" / "worker_binary"
    if not binary.is_file() or not os.access(binary, os.X_OK):
        raise WorkerError(f"{binary}: TFF's worker is missing or not executable; install tensorflow-federated again")
    # operations run side by side, one thread each: twice as fast as all threads in one operation
    environment = os.environ | ONE_THREAD_EACH | {"TF_NUM_INTEROP_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "1"}
    deadline = time.monotonic() + timeout
    run = functools.partial(_run, [str(binary), "--port=0"], environment, WorkerLog(log_path), deadline)
    try:
        return _isolated(run, deadline)
    except IsolationError as error:
        if not allow_open_port and os.environ.get(ALLOW_OPEN_PORT) != "1":
            raise WorkerError(REFUSED % error) from error
        worker, _ = run(None)
        port = worker.wait(lambda: _listening_port(worker.pid), deadline)
        worker.target = f"127.0.0.1:{port}"
        logger.warning(NOT_ISOLATED, error, port)
        return worker


def _run(command, environment, log, deadline, folder):
    ours, theirs = socket.socketpair()
    with ours, theirs, log.open() as stream:
        worker = Worker(launch(command, theirs if folder else None, environment, stream), log, folder)
        theirs.close()  # so that the end of the launcher is the end of the stream
        return worker, worker.wait(lambda: notification(ours, deadline), deadline) if folder else []


def _isolated(run, deadline):
    """Return a worker that listens on a Unix socket, in a new folder that only this user can enter."""
    folder = SocketFolder()
    try:
        with listen.listening_socket(str(folder.socket)) as listener:
            worker, (waiting,) = run(folder)
            poll = select.poll()
            poll.register(waiting, select.POLLIN)
            try:
                worker.wait(lambda: (waiting, select.POLLIN) in poll.poll(POLL * 1000), deadline)
                listen.answer_listen(waiting, listener)
            except OSError as error:
                worker.stop()
                if isinstance(error, FileNotFoundError | ProcessLookupError):  # the worker died and waits no more
                    raise worker.death("while it started") from error
                raise IsolationError(f"seccomp user notification: {error}") from error
            finally:
                os.close(waiting)  # from now on every further `listen` of the worker fails
        return worker
    except BaseException:
        folder.remove()
        raise


def _listening_port(pid):
    time.sleep(POLL)
    with contextlib.suppress(psutil.Error):  # it is gone, which the caller notices
        connections = psutil.Process(pid).net_connections("tcp")
        return next((each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN), None)


def _end(process, folder, owner):
    if os.getpid() == owner:  # and not a fork of it
        process.kill()
        process.wait()
        if folder is not None:
            folder.remove()
