"""A worker that does nothing during a call: a warning says so and what to do, and a time limit ends it.

Real workers and real signals; only the times are short.
"""

import os
import re
import signal
import threading
import time

import numpy as np
import pytest
from fixtures_processes import gone

from tfmeta.errors import ConfigError, WorkerError

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]

STEPS = 80  # of a call of a second or two


@pytest.fixture(scope="module")
def work():
    """A TFF computation of some seconds whose result depends on all of them."""
    import tensorflow as tf
    import tensorflow_federated as tff

    @tff.tensorflow.computation(np.int32)
    def work(steps):
        start = tf.random.stateless_normal([1000, 1000], [1, 2])

        def step(i, value):
            return i + 1, tf.tanh(tf.matmul(value, start) / 20)

        return tf.while_loop(lambda i, _: i < steps, step, [0, start])[1]

    return work


@pytest.fixture
def runtime(tmp_path):
    """Return a runtime that warns after a second."""
    from tfmeta.federated.tff.runtime import TffRuntime

    made = []

    def of(**limits):
        made.append(TffRuntime(tmp_path / "worker.log", threads=1, patience=1, **limits))
        return made[-1]

    yield of
    for each in made:
        each.close()


def stopped_for(seconds, pid):
    """Stop a worker in half a second, and let it go on some seconds later, if it is still there."""

    def stop():
        time.sleep(0.5)
        os.kill(pid, signal.SIGSTOP)
        if not gone(pid, seconds):
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=stop)
    thread.start()
    return thread


def test_a_stopped_worker_is_named_now_and_then_and_goes_on_to_the_same_result(runtime, work, caplog):
    runtime = runtime()
    wanted = runtime.call(work, STEPS)
    assert not caplog.records  # it computed without a pause
    pid = runtime.worker.pid
    thread = stopped_for(6, pid)
    found = runtime.call(work, STEPS)
    thread.join()
    assert (found == wanted).all()
    assert runtime.worker.pid == pid
    *silent, goes_on = [record.getMessage() for record in caplog.records]
    assert {record.levelname for record in caplog.records} <= {"WARNING", "warning: "}
    assert 2 <= len(silent) <= 4  # after 1, 2 and 4 s
    for message in silent:
        for part in (f"pid {pid}", "it is stopped", f"kill -CONT {pid}", "worker.log", "--worker-timeout", "resume"):
            assert part in message
    seconds = [float(re.search(r"nothing for (\d+) s", message)[1]) for message in silent]
    assert seconds == sorted(seconds)
    assert f"pid {pid}) goes on" in goes_on


def test_a_worker_that_stays_silent_is_ended_when_its_time_is_over(runtime, work, tmp_path):
    runtime = runtime(worker_timeout=2)
    wanted = runtime.call(work, STEPS)  # takes longer than the limit, but is not silent
    pid = runtime.worker.pid
    thread, began = stopped_for(30, pid), time.monotonic()
    with pytest.raises(WorkerError) as caught:
        runtime.call(work, STEPS)
    assert time.monotonic() - began < 15
    for part in (f"pid {pid}", "worker_timeout = 2", "it is stopped", str(tmp_path / "worker.log"), "resume after"):
        assert part in str(caught.value)
    assert gone(pid)
    assert (runtime.call(work, STEPS) == wanted).all()  # by another worker
    thread.join()


def test_preparing_a_call_is_no_silence_of_the_worker(runtime, work, caplog):
    """TFF compiles a computation and sends its arguments here, while the worker has nothing to do."""

    def prepared():
        end = time.monotonic() + 3
        while time.monotonic() < end:
            pass
        return 7

    assert runtime(worker_timeout=1.5).call(prepared) == 7
    assert not caplog.records


def test_a_worker_that_waits_is_told_from_a_stopped_one(runtime, caplog):
    assert runtime().call(lambda: time.sleep(2.5)) is None
    first = caplog.records[0].getMessage()
    assert "it waits" in first and "kill -CONT" not in first


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "60"])
def test_a_time_limit_that_makes_no_sense_is_refused(runtime, seconds):
    with pytest.raises(ConfigError, match="worker_timeout"):
        runtime(worker_timeout=seconds)
