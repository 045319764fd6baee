"""Runs TFF computations in a worker of ours.

TFF's own contexts start workers that outlive us and wait forever for one that died. Here each computation is tried
once, on a thread with our context (TFF's context stack is thread-local) and an event loop. So the caller can watch the
worker while it waits, can be interrupted, and may itself be inside an event loop, as in Jupyter. Importing this module
makes our worker TFF's default, so that a process called directly (`process.next(...)`) does not start one of TFF's;
`default_worker` imports it right after TFF.
"""

import asyncio
import concurrent.futures
import contextlib
import functools
import inspect
import logging
import numbers
import os
import subprocess
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import tensorflow_federated as tff

from tfmeta.errors import ConfigError, WorkerError
from tfmeta.federated.tff.worker import lifecycle
from tfmeta.federated.tff.worker.watch import RESUME, ProgressWatch

logger = logging.getLogger(__name__)

START = 60.0  # seconds within which a worker must answer
PATIENCE = 60.0  # seconds without progress before the first warning
WATCH = 0.2  # seconds between looks at a worker while it computes
GRACE = 3.0  # seconds that a call may take to fail, and a process to be gone, after the worker has died
STOPPED = "TFF's worker was ended during this call: another call was interrupted or lost it, or `close` was called."
LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)  # gRPC's codes for a lost connection
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # the default refuses weights over 4 MB
    ("grpc.max_send_message_length", -1),
    ("grpc.client_idle_timeout_ms", 2**31 - 1),  # never: the socket is gone once we are connected
    ("grpc.enable_http_proxy", 0),
)


class TffRuntime(contextlib.AbstractContextManager):
    """A TFF worker, and the means to run computations in it; use it in a `with` statement, or call `close`.

    The worker starts with the first call, and again with the next call after one that died or was interrupted. Calls
    have no state, so nothing is lost but the calls that it was running.

    Args:
        log_path: File for the worker's output.
        threads: Operations that the worker runs at once; by default one per core.
        compiler: Translates computations for the worker; by default TFF's own for its native workers.
        worker_timeout: Seconds that the worker may spend in a call without progress; None: for ever, with warnings.
        allow_open_port: Let a worker that cannot be isolated listen on the network; see `lifecycle.start`.
        patience: Seconds without progress before the first warning.

    Raises:
        ConfigError: `worker_timeout` is not above 0.
    """

    def __init__(
        self, log_path: Path | str, threads: int | None = None,
        compiler: Callable = tff.backends.native.desugar_and_transform_to_native, *,
        worker_timeout: float | None = None, allow_open_port: bool = False, patience: float = PATIENCE,
    ):  # fmt: skip
        if worker_timeout is not None and not (isinstance(worker_timeout, numbers.Real) and worker_timeout > 0):
            raise ConfigError(f"worker_timeout = {worker_timeout!r}: give a number of seconds above 0, or None")
        self._log_path, self._threads, self._compile = Path(log_path), threads, compiler
        self._worker_timeout, self._allow_open_port, self._patience = worker_timeout, allow_open_port, patience
        self._context = None
        self._changing = threading.RLock()  # calls may come from several threads

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def worker(self) -> lifecycle.Worker | None:
        """The worker that runs now, if any."""
        return getattr(self._context, "worker", None)

    def start(self) -> "_WorkerContext":
        """Start the worker unless one runs, and return TFF's context for it; raises what `lifecycle.start` does."""
        with self._changing:
            if self._context is not None and not self._context.worker.alive():
                logger.warning("%s\nNothing is lost; another is started.", self.worker.death("between calls"))
                self.close()
            if self._context is None:
                worker = lifecycle.start(self._log_path, self._threads, START, allow_open_port=self._allow_open_port)
                self._context = _WorkerContext(worker, self._compile)
            return self._context

    def call(self, computation: Callable, *args: Any, **kwargs: Any) -> Any:
        """Run a TFF computation in the worker; return what TFF returns (numpy arrays in structures).

        An interrupt is raised at once and ends the worker, since TFF cannot cancel a call in any other way.

        Raises:
            WorkerError: The worker died, or another thread ended it, raised within seconds; or it made no progress for
                `worker_timeout` seconds.
            grpc.RpcError: Client code failed; the message is TensorFlow's.
            TypeError: The arguments do not fit the computation.
        """
        context = self.start()
        future, thread = context.submit(computation, args, kwargs)
        watch = ProgressWatch(context.worker, thread.native_id, self._patience, self._worker_timeout)
        try:
            while not concurrent.futures.wait([future], WATCH).done and context.worker.alive():
                watch.look()
            done = concurrent.futures.wait([future], GRACE).done
        except BaseException:
            self.close(context)
            raise
        error = future.exception() if done else None
        # another thread may have closed the connection, and gRPC has several errors for that
        lost = context is not self._context or (isinstance(error, grpc.RpcError) and error.code() in LOST)
        if done and (error is None or not lost):
            watch.progress()
            return future.result()
        with contextlib.suppress(subprocess.TimeoutExpired):
            context.worker.process.wait(GRACE)
        died = not context.worker.alive()
        cause = STOPPED if context.stopped else died and context.worker.death("in the middle of a call")
        self.close(context)
        if cause:
            raise WorkerError(f"{cause}\n{RESUME}") from error
        raise error

    def close(self, only: "_WorkerContext | None" = None) -> None:
        """End the worker, or do nothing if it is not that of `only`. The next call starts another."""
        with self._changing:
            context = self._context
            if context is not None and only in (None, context):
                context.stopped, self._context = context.worker.alive(), None
                context.close()


class _WorkerContext(tff.framework.AsyncExecutionContext):
    """TFF's context for a worker that was just started, without TFF's endless retries."""

    invoke = tff.framework.AsyncExecutionContext.invoke.__wrapped__

    def __init__(self, worker, compiler):
        self.worker, self._turn = worker, threading.Lock()  # computations run one after the other
        self.stopped = False  # whether we ended the worker, rather than that it died
        channel = grpc.insecure_channel(worker.target, CHANNEL_OPTIONS)
        self.close = weakref.finalize(self, _disconnect, worker, channel)  # at the latest when the interpreter exits
        stub = tff.framework.RemoteExecutorGrpcStub(channel)
        try:
            worker.wait(lambda: stub.is_ready or time.sleep(lifecycle.POLL), time.monotonic() + START)
            worker.seal()
        except BaseException:
            self.close()
            raise

        def executor(cardinalities):
            # computations that no client takes part in have no number of clients either; the worker asks for one
            remote = tff.framework.RemoteExecutor(stub)
            remote.set_cardinalities({tff.CLIENTS: 0} | cardinalities)
            return remote

        super().__init__(
            tff.framework.ResourceManagingExecutorFactory(executor), compiler,
            transform_args=tff.tensorflow.transform_args, transform_result=tff.tensorflow.transform_result,
        )  # fmt: skip

    def submit(
        self, computation: Callable, args: tuple, kwargs: dict[str, Any]
    ) -> tuple[concurrent.futures.Future, threading.Thread]:  # fmt: skip
        """Return the future of a computation, and the thread of its own on which it runs."""
        future = concurrent.futures.Future()

        async def invoke():
            result = computation(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        def run():
            tff.framework.set_default_context(self)
            try:
                with self._turn:
                    future.set_result(asyncio.run(invoke()))
            except BaseException as error:
                future.set_exception(error)

        thread = threading.Thread(target=run, name="tfmeta-tff", daemon=True)
        thread.start()
        return future, thread


def _disconnect(worker, channel):
    channel.close()  # first: gRPC would ask a channel whose worker has just died for its state, and find it closed
    worker.stop()


class _DefaultContext(tff.framework.SyncContext):
    """Runs computations that are called directly in a worker of ours, which starts with the first of them."""

    def invoke(self, comp, arg):
        return _default_runtime().call(lambda: tff.framework.get_context_stack().current.invoke(comp, arg))


# with its log in memory, so that nothing stays behind, however this process ends
_default_runtime = functools.cache(lambda: TffRuntime(f"/proc/self/fd/{os.memfd_create('tff-worker-log')}"))


def use_our_worker() -> None:
    """Make our worker TFF's default in this thread (TFF has a default for each), for computations called directly."""
    if not isinstance(tff.framework.get_context_stack().current, _WorkerContext):
        tff.framework.set_default_context(_DefaultContext())


use_our_worker()
