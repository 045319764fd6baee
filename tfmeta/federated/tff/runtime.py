"""Where TFF's execution contexts are made, and the only way by which tfmeta runs TFF computations.

TFF's own contexts start workers that outlive us, and wait for ever for one that died: they try any gRPC error of
kind UNAVAILABLE or FAILED_PRECONDITION again without end. Here each computation is tried once, on a thread of its own
that has the context installed (TFF's context stack is thread-local) and an event loop of its own. So the caller can
watch the worker while it waits, can be interrupted, and may itself be inside an event loop, as in Jupyter.
"""

import asyncio
import concurrent.futures
import inspect
import logging
import queue
import threading
import time
import weakref
from pathlib import Path

import grpc
import tensorflow_federated as tff

from tfmeta.errors import WorkerError
from tfmeta.federated.tff.worker import lifecycle as workers

logger = logging.getLogger(__name__)

WATCH = 0.2  # seconds between looks at a worker while it computes
GRACE = 3.0  # seconds that a call may take to fail, and a process to be gone, after the worker has died
RESUME = "Finished rounds are safe: give the same command again and it continues after the last of them."
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # the default refuses weights over 4 MB
    ("grpc.max_send_message_length", -1),
    ("grpc.client_idle_timeout_ms", 2**31 - 1),  # never: the socket is gone once we are connected
    ("grpc.enable_http_proxy", 0),
)


class TffRuntime:
    """A TFF worker, and the means to run computations in it; use it in a ``with`` statement.

    ``log_path``: the worker's output. ``threads``: operations at once (default: one a core). ``test_secure_sum``: run
    secure sums as plain ones, which TFF's native context cannot run at all: TFF's test context, no cryptography.

    The worker starts with the ``with`` statement or the first call, and again with the next call after one that
    died or was interrupted: calls have no state, so nothing is lost but the call itself.
    """

    def __init__(
        self,
        log_path: Path,
        threads: int | None = None,
        start_timeout: float = 60,
        test_secure_sum: bool = False,
    ):
        self._log_path = Path(log_path)
        self._threads = threads
        self._start_timeout = start_timeout
        self._compile = _compile_with_test_secure_sums if test_secure_sum else _compile
        self._connection = None
        self._starting = threading.Lock()  # calls may come from several threads

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def worker(self) -> workers.Worker | None:
        """The worker that runs now, if any."""
        return self._connection.worker if self._connection else None

    def start(self) -> None:
        """Start the worker and connect to it, unless one runs. Raises what ``worker.start`` does."""
        self._connect()

    def _connect(self) -> "_Connection":
        with self._starting:
            if self._connection is not None and not self._connection.worker.alive():
                death = self._connection.worker.obituary("between calls")
                logger.warning("%s\nNothing is lost; another is started.", death)
                self.close()
            if self._connection is None:
                deadline = time.monotonic() + self._start_timeout
                worker = workers.start(self._log_path, self._threads, self._start_timeout)
                self._connection = _Connection(worker, self._compile, deadline)
            return self._connection

    def call(self, computation, *args, **kwargs):
        """Run a TFF computation in the worker; return what TFF returns (numpy arrays in structures).

        Raises WorkerError within seconds if the worker dies, else what TFF raises: ``grpc.RpcError`` with TensorFlow's
        message for errors inside client code, TypeError for arguments that do not fit. A KeyboardInterrupt comes
        through at once; the call is abandoned and its worker ended, since TFF has no other way to cancel.
        """
        connection = self._connect()
        future = connection.submit(computation, args, kwargs)
        try:
            while not concurrent.futures.wait([future], timeout=WATCH).done:
                if not connection.worker.alive():
                    concurrent.futures.wait([future], timeout=GRACE)
                    break
        except BaseException:
            self.close(wait=False)
            raise
        return self._outcome(connection, future)

    def _outcome(self, connection, future):
        error = future.exception() if future.done() else None
        if future.done() and error is None:
            return future.result()
        if error is None or _is_lost_connection(error):
            died = connection.has_died(GRACE)
            self.close(wait=False)
            if died:
                obituary = connection.worker.obituary("in the middle of a call")
                raise WorkerError(f"{obituary}\n{RESUME}") from error
        raise error

    def close(self, wait: bool = True) -> None:
        """End the worker and the thread; ``wait`` for the thread to be gone. May be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(wait)


class _Connection:
    """One worker, the gRPC channel to it, and the thread that runs computations there."""

    def __init__(self, worker, compile_, deadline):
        self.worker = worker
        self._jobs = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(worker.target, CHANNEL_OPTIONS)
        try:
            self._await_ready(deadline)
            worker.seal()
            context = _context(self._channel, compile_)
        except BaseException:
            self._channel.close()
            worker.stop()
            raise
        self._thread = threading.Thread(target=_serve, args=(context, self._jobs), name="tfmeta-tff", daemon=True)
        self._thread.start()
        # For those who never call close, at the latest when the interpreter exits.
        self._end = weakref.finalize(self, _disconnect, worker, self._channel, self._jobs, self._thread, GRACE)

    def _await_ready(self, deadline):
        ready = grpc.channel_ready_future(self._channel)
        while True:
            try:
                return ready.result(timeout=WATCH)
            except grpc.FutureTimeoutError:
                pass
            if not self.worker.alive():
                raise self.worker.obituary("while it started")
            if time.monotonic() > deadline:
                raise WorkerError(f"TFF's worker (pid {self.worker.pid}) does not answer at {self.worker.target}")

    def submit(self, computation, args, kwargs) -> concurrent.futures.Future:
        future = concurrent.futures.Future()
        self._jobs.put((future, computation, args, kwargs))
        return future

    def has_died(self, patience: float) -> bool:
        """Whether the worker is dead, or is so within ``patience`` seconds."""
        end = time.monotonic() + patience
        while self.worker.alive() and time.monotonic() < end:
            time.sleep(0.01)
        return not self.worker.alive()

    def close(self, wait: bool):
        """End the worker, so that whatever the thread waits for fails, and with it the thread."""
        end = self._end.detach()
        if end is not None:
            *arguments, patience = end[2]
            _disconnect(*arguments, patience if wait else 0)


def _disconnect(worker, channel, jobs, thread, patience):
    worker.stop()
    jobs.put(None)
    if thread is not threading.current_thread():
        thread.join(patience)
    channel.close()


def _serve(context, jobs):
    """The thread: run each job to its end, until told to stop."""
    tff.framework.set_default_context(context)
    with asyncio.Runner() as runner:
        while (job := jobs.get()) is not None:
            future, computation, args, kwargs = job
            try:
                future.set_result(runner.run(_invoke(computation, args, kwargs)))
            except BaseException as error:
                future.set_exception(error)
            del job, future, computation, args, kwargs  # do not keep results and arguments until the next job


async def _invoke(computation, args, kwargs):
    result = computation(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


class _OnceContext(tff.framework.AsyncExecutionContext):
    """TFF's context without the endless retries."""

    invoke = tff.framework.AsyncExecutionContext.invoke.__wrapped__


def _context(channel, compile_):
    stub = tff.framework.RemoteExecutorGrpcStub(channel)

    def executor(cardinalities):
        # Computations that no client takes part in have no number of clients either; the worker asks for one.
        remote = tff.framework.RemoteExecutor(stub)
        remote.set_cardinalities({tff.CLIENTS: 0} | cardinalities)
        return remote

    return _OnceContext(
        executor_fn=tff.framework.ResourceManagingExecutorFactory(executor),
        compiler_fn=compile_,
        transform_args=tff.tensorflow.transform_args,
        transform_result=tff.tensorflow.transform_result,
    )


def _compile(computation):
    return tff.backends.native.desugar_and_transform_to_native(computation)


def _compile_with_test_secure_sums(computation):
    """As ``tff.backends.test`` does: secure sums become plain sums that check the summands' range."""
    return _compile(tff.backends.test.replace_secure_intrinsics_with_bodies(computation))


def _is_lost_connection(error) -> bool:
    return isinstance(error, grpc.RpcError) and error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
