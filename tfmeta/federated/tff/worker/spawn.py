"""Starts `launch`, the program that becomes TFF's worker.

Linux sends a child its parent-death signal when the *thread* that started it ends, not the process. So a thread that
lasts as long as the process starts every launcher.
"""

import functools
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import BinaryIO

from tfmeta.errors import WorkerError


class IsolationError(Exception):
    """The kernel or a sandbox does not let us replace the worker's network socket."""


def launch(
    command: Sequence[str], intercept_listen: bool, environment: dict[str, str], output: BinaryIO, deadline: float
) -> tuple[subprocess.Popen, int]:
    """Start a command whose life is tied to this process; `deadline` is a time of the monotonic clock.

    Returns the process, and with `intercept_listen` the descriptor at which its `listen` calls wait for us (else -1).
    Raises `IsolationError` where they cannot be intercepted, and `WorkerError` if the launcher does not start in time.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        control = theirs.fileno() if intercept_listen else -1
        launcher = [sys.executable, "-I", "-S", Path(__file__).with_name("launch.py"), str(os.getpid()), str(control)]
        process = _popen(
            args=[*launcher, *command], env=environment, pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,  # Ctrl-C in the terminal is ours to handle, not the worker's
        )  # fmt: skip
        theirs.close()  # so that the end of the launcher is the end of the stream
        try:
            return process, _receive(ours, deadline) if intercept_listen else -1
        except BaseException:
            process.kill()
            process.wait()
            raise


def _receive(control, deadline):
    """Return the descriptor that the launcher sends."""
    control.settimeout(max(deadline - time.monotonic(), 0.01))
    try:
        message, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
    except TimeoutError:
        raise WorkerError("TFF's worker could not be started in time") from None
    if not descriptors:
        raise IsolationError(f"seccomp filter: {message.decode(errors='replace') or 'the launcher ended early'}")
    return descriptors[0]


def _popen(**arguments) -> subprocess.Popen:
    """Call `subprocess.Popen` in the thread that lasts; if the wait is interrupted, kill the child."""
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
    # A daemon, and no ThreadPoolExecutor: the interpreter ends those before it waits for the user's threads.
    threading.Thread(target=_serve, args=(requests,), name="tfmeta-spawn", daemon=True).start()
    return requests


def _serve(requests):
    while True:
        future, arguments = requests.get()
        try:
            future.set_result(subprocess.Popen(**arguments))
        except BaseException as error:
            future.set_exception(error)
        del future, arguments
