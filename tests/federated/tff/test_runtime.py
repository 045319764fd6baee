"""Calls into TFF's worker: what comes back, and that neither its death nor an interrupt can hang the caller.

Real workers, real signals.
"""

import asyncio
import contextlib
import json
import os
import queue
import signal
import threading
import time
import types
from pathlib import Path

import numpy as np
import psutil
import pytest
from fixtures_processes import gone, needs_seccomp, program

from tfmeta.errors import WorkerError

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]


@pytest.fixture(scope="module")
def tff():
    import tensorflow_federated

    return tensorflow_federated


@pytest.fixture(scope="module")
def computations(tff):
    """TFF computations: double, grow (5 MB back), check (fails below 5), work, spin (clients work), secure."""
    import tensorflow as tf

    @tff.tensorflow.computation(np.int32)
    def check(x):
        with tf.control_dependencies([tf.debugging.assert_greater(x, 5, message="the client refuses")]):
            return tf.identity(x)

    @tff.tensorflow.computation(np.int32)
    def work(steps):
        start = tf.random.stateless_normal([1000, 1000], [1, 2])

        def step(i, value):
            return i + 1, tf.tanh(tf.matmul(value, start) / 20)

        return tf.while_loop(lambda i, _: i < steps, step, [0, start])[1][0, 0]

    at_clients = tff.FederatedType(np.int32, tff.CLIENTS)
    return types.SimpleNamespace(
        double=tff.tensorflow.computation(lambda x: 2 * x, np.int32),
        grow=tff.tensorflow.computation(lambda x: tf.fill([1_300_000], x), np.float32),
        check=check,
        work=work,
        spin=tff.federated_computation(lambda steps: tff.federated_sum(tff.federated_map(work, steps)), at_clients),
        secure=tff.federated_computation(lambda values: tff.federated_secure_sum(values, 1000), at_clients),
    )


@pytest.fixture(scope="module")
def runtime(tff, tmp_path_factory):
    from tfmeta.federated.tff.runtime import TffRuntime

    with TffRuntime(tmp_path_factory.mktemp("runtime") / "worker.log", threads=2) as made:
        yield made


LONG = [1_000_000, 1_000_000]  # hours
STEPS = 40  # of a measured call: a second, beside which what the call itself costs is little


def after(seconds, action):
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def test_a_call_returns_numpy(runtime, computations):
    answer = runtime.call(computations.double, 21)
    assert answer == 42
    assert isinstance(answer, np.integer)


@needs_seccomp
def test_the_socket_is_sealed_once_connected(runtime, computations):
    runtime.call(computations.double, 1)
    assert not Path(runtime.worker.target.removeprefix("unix:")).parent.exists()


def test_results_above_grpcs_default_limit_arrive(runtime, computations):
    grown = runtime.call(computations.grow, 1.5)
    assert grown.shape == (1_300_000,)
    assert (grown == 1.5).all()


def test_errors_of_client_code_and_arguments_are_raised_and_the_worker_stays(runtime, computations):
    import grpc

    runtime.call(computations.check, 6)
    pid = runtime.worker.pid
    with pytest.raises(grpc.RpcError, match="the client refuses"):
        runtime.call(computations.check, 3)
    with pytest.raises(TypeError, match="int32"):
        runtime.call(computations.check, "three")
    with pytest.raises(ZeroDivisionError):
        runtime.call(lambda: 1 // 0)
    assert runtime.call(computations.check, 7) == 7
    assert runtime.worker.pid == pid


def test_calls_from_a_running_event_loop_and_from_other_threads(runtime, computations):
    async def in_jupyter():
        return runtime.call(computations.double, 4)

    assert asyncio.run(in_jupyter()) == 8
    answers = queue.SimpleQueue()
    threads = [
        threading.Thread(target=lambda n=n: answers.put((n, runtime.call(computations.double, n)))) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers.get() for _ in threads) == [(n, 2 * n) for n in range(4)]


def test_a_worker_killed_during_a_call_gives_an_error_within_seconds(runtime, computations):
    runtime.call(computations.double, 1)
    pid = runtime.worker.pid
    killed = []
    timer = after(1.0, lambda: (os.kill(pid, signal.SIGKILL), killed.append(time.monotonic())))
    with pytest.raises(WorkerError) as caught:
        runtime.call(computations.spin, LONG)
    ended = time.monotonic()
    timer.join()
    assert ended - killed[0] < 15  # GRACE and a busy machine; the call itself would take hours
    for part in (f"pid {pid}", "signal 9 (SIGKILL)", "memory ran out", "worker.log", "resume after the last"):
        assert part in str(caught.value)
    assert runtime.call(computations.double, 2) == 4  # by another worker
    assert runtime.worker.pid != pid


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_calls_of_other_threads_end_with_their_worker_and_leave_the_next_one_alone(runtime, computations, how):
    runtime.call(computations.double, 1)
    worker, errors = runtime.worker, queue.SimpleQueue()

    def call(computation, argument):
        with pytest.raises(WorkerError) as caught:
            runtime.call(computation, argument)
        errors.put(str(caught.value))

    threads = [threading.Thread(target=call, args=(computations.spin, LONG)) for _ in range(3)]  # two wait for one
    for thread in threads:
        thread.start()
    time.sleep(1)
    if how == "closed":
        runtime.close()
    else:
        worker.process.kill()
        worker.process.wait()
    assert runtime.call(computations.double, 2) == 4
    newer = runtime.worker
    for thread in threads:
        thread.join()
    words = "was ended during this call" if how == "closed" else "signal 9 (SIGKILL)"
    assert all(words in errors.get(timeout=1) for _ in threads)
    assert runtime.worker is newer and newer.alive() and newer is not worker


def test_a_worker_that_died_between_calls_is_replaced(runtime, computations, caplog):
    runtime.call(computations.double, 1)
    os.kill(runtime.worker.pid, signal.SIGKILL)
    runtime.worker.process.wait()
    assert runtime.call(computations.double, 3) == 6
    assert "died between calls" in caplog.text


def test_an_interrupt_is_raised_at_once_and_ends_the_worker(runtime, computations):
    runtime.call(computations.double, 1)
    pid = runtime.worker.pid
    sent = []
    timer = after(1.0, lambda: (sent.append(time.monotonic()), os.kill(os.getpid(), signal.SIGINT)))
    with pytest.raises(KeyboardInterrupt):
        runtime.call(computations.spin, LONG)
    assert time.monotonic() - sent[0] < 5
    timer.join()
    assert gone(pid)
    assert runtime.call(computations.double, 5) == 10


def demand(runtime, call):
    """Return the average number of processors that the worker's threads asked for during `call`."""

    def seconds():
        spent = {}
        for path in Path(f"/proc/{runtime.worker.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # gRPC's threads come and go
                ran, waited, _ = path.read_text().split()
                spent[path] = (int(ran) + int(waited)) / 1e9
        return spent

    call()
    before, start = seconds(), time.monotonic()
    call()
    after, passed = seconds(), time.monotonic() - start
    return sum(spent - before.get(path, 0) for path, spent in after.items()) / passed


def test_threads_limit_what_runs_at_once(tff, runtime, computations, tmp_path):
    from tfmeta.federated.tff.runtime import TffRuntime

    def two_clients(which):
        return lambda: which.call(computations.spin, [STEPS, STEPS])

    assert demand(runtime, two_clients(runtime)) > 1.6
    with TffRuntime(tmp_path / "one.log", threads=1) as one:  # while the other lives on
        assert demand(one, two_clients(one)) < 1.3
        assert demand(one, lambda: one.call(computations.work, STEPS)) < 1.3  # nor does one operation take several


def test_secure_sums_run_only_when_compiled_as_in_tffs_test_context(runtime, computations, tmp_path):
    from fixtures_secure import compile_with_test_secure_sums

    from tfmeta.federated.tff.runtime import TffRuntime

    with pytest.raises(Exception, match="Cannot embed a federated value"):
        runtime.call(computations.secure, [1, 2, 3])
    testing = TffRuntime(tmp_path / "worker.log", compiler=compile_with_test_secure_sums)
    assert testing.call(computations.secure, [1, 2, 3]) == 6
    pid = testing.worker.pid
    testing.close()
    testing.close()
    assert gone(pid)
    assert testing.worker is None


INTERRUPTED = """
    import json, time, numpy as np, tensorflow as tf, tensorflow_federated as tff
    from tfmeta.federated.tff.runtime import TffRuntime

    @tff.tensorflow.computation(np.int32)
    def endless(x):
        return tf.while_loop(lambda i: i >= 0, lambda i: [tf.maximum(i, 1)], [x])[0]

    runtime = TffRuntime(LOG)
    runtime.start()
    print(json.dumps({"pid": runtime.worker.pid}), flush=True)
    runtime.call(endless, 1)
"""


def test_ctrl_c_during_a_call_ends_the_program_with_one_traceback(tmp_path):
    process = program(INTERRUPTED, LOG=str(tmp_path / "worker.log"))
    pid = json.loads(process.stdout.readline())["pid"]
    time.sleep(1.5)
    assert psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    sent = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - sent < 10
    assert process.returncode == -signal.SIGINT
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1
    assert gone(pid)
