import signal
import threading
import time

import pytest

from tfmeta.errors import DataError
from tfmeta.utils import threads
from tfmeta.utils.parallel import share_out


def test_every_job_is_done_once():
    done = []

    def work(first, last):
        done.append((first, last))
        return last - first

    share_out(work, [(k, k + 10) for k in range(0, 100, 10)], 100, "counting", "numbers")
    assert sorted(done) == [(k, k + 10) for k in range(0, 100, 10)]


def test_as_many_at_once_as_there_are_cores(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 3)
    together = threading.Barrier(3, timeout=20)  # breaks unless three jobs wait at once

    def work(_):
        together.wait()
        return 1

    share_out(work, [(k,) for k in range(6)], 6, "meeting", "jobs")


def test_the_first_fault_is_raised_and_the_rest_given_up(monkeypatch):
    monkeypatch.setattr(threads, "cores", lambda: 2)
    begun = []

    def work(number):
        begun.append(number)
        if number == 1:
            time.sleep(0.2)
        if number in (1, 2):
            raise DataError(f"picture {number}")
        time.sleep(0.05)
        return 1

    with pytest.raises(DataError, match="picture 1"):  # 2 fails before 1 does
        share_out(work, [(k,) for k in range(500)], 500, "failing", "pictures")
    assert len(begun) < 100


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_threads_are_started_comes_afterwards(number):
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
            share_out(lambda done: done, jobs(), 2, "counting", "jobs")
        assert caught.value.code == 128 + number and given == ["all"]
        assert signal.getsignal(number) is end
    finally:
        signal.signal(number, before)


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        share_out(lambda _: signal.raise_signal(signal.SIGHUP) or 1, [(1,), (1,)], 2, "counting", "jobs")
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
