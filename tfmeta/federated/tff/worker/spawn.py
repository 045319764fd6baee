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
from concurrent.futures import Future
from pathlib import Path
from typing import BinaryIO

from tfmeta.errors import WorkerError


class IsolationError(Exception):
    """The kernel or a sandbox does not let us replace the worker's network socket."""


def launch(
    command: list[str], intercept_listen: bool, environment: dict[str, str], output: BinaryIO
) -> tuple[subprocess.Popen, int]:
    """Start a command whose life is tied to this process.

    Returns the process, and with `intercept_listen` the descriptor at which its `listen` calls wait for us (else -1).
    Raises `IsolationError` where they cannot be intercepted, and `WorkerError` where no process can be started.
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
            message, descriptors, _, _ = socket.recv_fds(ours, 4096, 1) if intercept_listen else (b"", [-1], 0, None)
            if not descriptors:
                raise IsolationError(f"seccomp filter: {message.decode() or 'the launcher ended early'}")
            return process, descriptors[0]
        except BaseException:
            process.kill()
            process.wait()
            raise


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

    def serve():
        while True:
            future, arguments = requests.get()
            try:
                future.set_result(subprocess.Popen(**arguments))
            except BaseException as error:
                future.set_exception(error)
            del future, arguments

    # a daemon, and no ThreadPoolExecutor: the interpreter ends those before it waits for the user's threads
    threading.Thread(target=serve, name="tfmeta-spawn", daemon=True).start()
    return requests
