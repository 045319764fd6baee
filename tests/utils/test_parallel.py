import signal
import threading
import time

import pytest

from tfmeta.errors import DataError
from tfmeta.utils import threads
from tfmeta.utils.parallel import in_threads


def test_every_job_is_done_once():
    done = []

    def work(first, last):
        done.append((first, last))
        return last - first

    in_threads(work, [(k, k + 10) for k in range(0, 100, 10)], 100, "counting", "numbers")
    assert sorted(done) == [(k, k + 10) for k in range(0, 100, 10)]


def test_as_many_jobs_run_at_once_as_there_are_cores(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 3)
    together = threading.Barrier(3, timeout=20)  # breaks unless three jobs wait at once

    def work(_):
        together.wait()
        return 1

    in_threads(work, [(k,) for k in range(6)], 6, "meeting", "jobs")


def test_the_first_error_is_raised_and_the_remaining_jobs_are_cancelled(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 2)
    begun = []

    def work(number):
        begun.append(number)
        if number == 1:
            time.sleep(0.2)
        if number in (1, 2):
            raise DataError(f"image {number}")
        time.sleep(0.05)
        return 1

    with pytest.raises(DataError, match="image 1"):  # 2 fails before 1 does
        in_threads(work, [(k,) for k in range(500)], 500, "failing", "images")
    assert len(begun) < 100


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_threads_are_started_is_handled_afterwards(number):
    def end(number, _):
        raise SystemExit(128 + number)

    def jobs():
        yield (1,)
        signal.raise_signal(number)
        yield (1,)
        given.append("all")

    given, before = [], signal.signal(number, end)
    try:
        with pytest.raises(SystemExit) as caught:
            in_threads(lambda done: done, jobs(), 2, "counting", "jobs")
        assert caught.value.code == 128 + number and given == ["all"]
        assert signal.getsignal(number) is end
    finally:
        signal.signal(number, before)


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        in_threads(lambda _: signal.raise_signal(signal.SIGHUP) or 1, [(1,), (1,)], 2, "counting", "jobs")
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
