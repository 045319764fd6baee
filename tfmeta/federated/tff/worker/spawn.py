"""Starts `launch`, the program that becomes TFF's worker.

Linux sends a child its parent-death signal when the *thread* that started it ends, not the process. So a thread that
lasts as long as the process starts every launcher.
"""

import functools
import os
import queue
import socket
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import BinaryIO

from tfmeta.errors import WorkerError


class IsolationError(Exception):
    """The kernel or a sandbox does not let us replace the worker's network socket."""


def launch(command: list[str], control: socket.socket | None, environment: dict[str, str], output: BinaryIO) -> Popen:
    """Start a command whose life is tied to this process; raises `WorkerError` where no process can be started.

    With `control`, one end of a pair of Unix sockets, the command's `listen` calls wait for us (`notification`).
    """
    number = control.fileno() if control else -1
    launcher = [sys.executable, "-I", "-S", Path(__file__).with_name("launch.py"), str(os.getpid()), str(number)]
    return _popen(
        args=[*launcher, *command], env=environment, pass_fds=[number] if control else [],
        stdin=DEVNULL, stdout=output, stderr=output,
        start_new_session=True,  # Ctrl-C in the terminal is ours to handle, not the worker's
    )  # fmt: skip


def notification(ours: socket.socket, deadline: float) -> list[int]:
    """Return the descriptor at which the worker's `listen` waits, or nothing if it ends or stays silent.

    Raises `IsolationError` only where the launcher says that `listen` cannot be intercepted on this machine.
    """
    try:
        ours.settimeout(max(deadline - time.monotonic(), 0.01))
        message, descriptors, _, _ = socket.recv_fds(ours, 4096, 1)
    except (TimeoutError, ConnectionError):
        return []
    if message.startswith(b"unavailable"):
        raise IsolationError(f"seccomp filter {message.decode()}")
    return descriptors


def _popen(**arguments) -> Popen:
    """Call `Popen` in the thread that lasts; if the wait is interrupted, kill the child."""
    future = Future()
    _queue(os.getpid()).put((future, arguments))  # by process id: threads do not survive a fork
    try:
        return future.result()
    except OSError as error:
        raise WorkerError(f"{sys.executable}: cannot be started to launch TFF's worker ({error})") from error
    except BaseException:
        future.add_done_callback(lambda done: done.exception() or done.result().kill())
        raise


@functools.cache
def _queue(_pid):
    requests = queue.SimpleQueue()

    def serve():
        while True:
            future, arguments = requests.get()
            try:
                future.set_result(Popen(**arguments))
            except BaseException as error:
                future.set_exception(error)
            del future, arguments

    # a daemon, and no ThreadPoolExecutor: the interpreter ends those before it waits for the user's threads
    threading.Thread(target=serve, name="tfmeta-spawn", daemon=True).start()
    return requests
