"""TFF's worker is killed: the command ends with a sentence, or goes on, and the next one stores the same."""

import os
import signal
import time

import pytest
from places import assert_same, at_once

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_killed_worker_ends_in_a_sentence_and_changes_no_result(both, tmp_path, chance):
    moments = [(number, chance.random()) for number in range(6)]
    print("kills of the worker (number, share of the time for which workers run):", moments)
    at_once(lambda case: _check(*both["tff"], tmp_path, *case), moments)


def _check(reference, length, folder, number, moment):
    place = reference.copy(folder / str(number), only=["cache"])
    running = place.start()
    worker = _wait_for_worker(running)
    time.sleep(moment * length / 2)  # the other half is before the first round and after the last one
    if running.process.poll() is None and (worker := running.worker()):
        os.kill(worker, signal.SIGKILL)
    ended = running.ended(patience=120)
    assert ended.code in (0, 1), ended.output
    if ended.code:
        assert f"TFF's worker process (pid {worker}) died" in ended.output and "signal 9" in ended.output
    assert_same(place, reference, place.run())


def _wait_for_worker(running):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and running.process.poll() is None:
        if worker := running.worker():
            return worker
        time.sleep(0.05)
    raise AssertionError(f"no worker started: {running.said()}")
