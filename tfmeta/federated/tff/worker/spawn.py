"""Starts `launch`, which becomes TFF's worker, and hears from it whether that worked.

Linux sends a child its parent-death signal when the *thread* that started it ends, not the process. So the launcher
is never started by the thread that asks for a worker, which may end before it does, but by one that lasts.
"""

import os
import queue
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

from tfmeta.errors import WorkerError

_lock = threading.Lock()
_requests = None  # queue of (future, keyword arguments of Popen), once the thread runs


class IsolationError(Exception):
    """The kernel or a sandbox does not let us replace the worker's network socket, so the worker was not run."""


class Launched:
    """A launcher (``process``) on its way to become what it was told to, and our end of its control socket."""

    def __init__(self, process: subprocess.Popen, control: socket.socket):
        self.process = process
        self._control = control

    def handshake(self, deadline: float) -> int:
        """Wait until the command is executed; return the descriptor that its ``listen`` notifies, or -1 if it does not.

        Raises IsolationError, or WorkerError if it cannot be executed.
        """
        descriptor = -1
        try:
            with self._control as control:
                control.settimeout(max(deadline - time.monotonic(), 0.01))
                message, descriptors, _flags, _address = socket.recv_fds(control, 4096, 1)
                if descriptors:
                    (descriptor,) = descriptors
                if message == b"ready":
                    message = control.recv(4096) or b"executed"
            _check(message.decode(errors="replace"))
        except BaseException as error:
            if descriptor >= 0:
                os.close(descriptor)
            if isinstance(error, TimeoutError):
                raise WorkerError("TFF's worker could not be started in time") from None
            raise
        return descriptor


def _check(message: str) -> None:
    what, _, why = message.partition(": ")
    if what == "unavailable":
        raise IsolationError(f"seccomp filter: {why}")
    if what != "executed":
        raise WorkerError(f"TFF's worker could not be started: {why or 'the launcher ended early'}")


def launch(command: list[str], intercept_listen: bool, environment: dict[str, str], output) -> Launched:
    """Start ``command`` with its life tied to this process, its output in the file ``output``, and no input."""
    ours, theirs = socket.socketpair()
    mode = "socket" if intercept_listen else "port"
    launcher = [str(Path(__file__).with_name("launch.py")), str(os.getpid()), str(theirs.fileno()), mode]
    try:
        with theirs:
            process = _popen(
                args=[sys.executable, "-I", "-S", *launcher, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in the terminal is ours to handle, not the worker's
            )
        return Launched(process, ours)
    except OSError as error:
        ours.close()
        raise WorkerError(f"{sys.executable}: cannot be started to launch TFF's worker ({error})") from error
    except BaseException:
        ours.close()
        raise


def _popen(**arguments) -> subprocess.Popen:
    """``subprocess.Popen(**arguments)`` by the thread that lasts. If the wait is interrupted, the child is killed."""
    future = Future()
    _queue().put((future, arguments))
    try:
        return future.result()
    except BaseException:
        future.add_done_callback(_kill)
        raise


def _queue():
    global _requests
    with _lock:
        if _requests is None:
            _requests = queue.SimpleQueue()
            # A daemon, and no ThreadPoolExecutor: the interpreter ends those before it waits for the user's threads.
            threading.Thread(target=_serve, args=(_requests,), name="tfmeta-spawn", daemon=True).start()
        return _requests


def _serve(requests):
    while True:
        future, arguments = requests.get()
        try:
            future.set_result(subprocess.Popen(**arguments))
        except BaseException as error:
            future.set_exception(error)
        del future, arguments


def _kill(future):
    if future.exception() is None:
        process = future.result()
        process.kill()
        process.wait()


def _forget():
    global _requests, _lock
    _requests, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget)  # threads do not survive a fork
