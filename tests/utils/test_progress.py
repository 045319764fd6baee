"""Progress bars and log lines."""

import logging
import os
import pty
import re
import subprocess
import sys
import termios

import pytest
from processes import python

from tfmeta.utils import progress

STAGE = """
from tfmeta.utils import progress
progress.setup_logging()
with progress.bar(40, "pre-training", "episode", initial=10) as stage:
    for _ in range(3):
        stage.update(10)
"""
COUNT = r"\[\d\d:\d\d<(\d\d:\d\d|\?), +([\d.]+|\?) ?episodes/s\]"


def test_without_a_terminal_a_stage_logs_its_start_and_end():
    first, last = python(STAGE).stderr.splitlines()
    assert re.fullmatch("pre-training: 10/40 episodes " + COUNT, first), first
    assert re.fullmatch("pre-training: 40/40 episodes " + COUNT, last), last


def test_without_a_terminal_a_failed_stage_logs_how_far_it_came():
    failed = python(STAGE.replace("stage.update(10)", "stage.update(10); raise KeyError"))
    assert re.search("^pre-training: 20/40 episodes " + COUNT + "$", failed.stderr, re.M), failed.stderr


def test_without_a_terminal_a_long_stage_logs_a_line_at_intervals():
    long = STAGE.replace("initial=10", "initial=10, every=0.5")
    long = long.replace("range(3)", "range(15)").replace("update(10)", "update(2); import time; time.sleep(0.1)")
    counts = [int(line.split("/")[0].split()[-1]) for line in python(long).stderr.splitlines()]
    assert counts[0] == 10 and counts[-1] == 40 and 3 <= len(counts) <= 5 and counts == sorted(set(counts))


def test_without_a_terminal_words_after_the_count_make_no_line_of_their_own():
    code = STAGE.replace("stage.update(10)", "stage.set_postfix(loss='1.5'); stage.update(10)")
    lines = python(code).stderr.splitlines()
    assert len(lines) == 2 and lines[1].endswith(", loss=1.5]")


def test_a_stage_that_an_earlier_run_did_shows_nothing():
    done = STAGE.replace("initial=10", "initial=40").replace("stage.update(10)", "stage.set_postfix(loss='1')")
    assert python(done).stderr == "" and on_a_terminal(done) == ""


@pytest.mark.parametrize(
    ("number", "unit", "words"),
    [(1, "round", "round"), (0, "round", "rounds"), (3, "set of tasks", "sets of tasks")],
)
def test_a_unit_has_its_plural(number, unit, words):
    assert progress.plural(number, unit) == words


def on_a_terminal(code, columns=80):
    """Return what a process writes whose standard error is a terminal."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, columns))
    with subprocess.Popen([sys.executable, "-B", "-c", code], stderr=its) as process:
        os.close(its)
        seen = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            seen += part
    os.close(ours)
    assert process.returncode == 0, seen
    return seen.decode()


@pytest.mark.parametrize("columns", [80, 0], ids=["80 columns", "a terminal that does not know its size"])
def test_on_a_terminal_a_bar_shows_count_rate_and_time_left(columns):
    slow = STAGE.replace("stage.update(10)", "stage.update(10); import time; time.sleep(0.2)")
    seen = on_a_terminal(slow + "\nimport logging\nlogging.getLogger('tfmeta').info('a line')\n", columns)
    assert re.search(r"pre-training: +100%\|█+\| 40/40 episodes " + COUNT, seen), seen
    assert "a line" in seen


@pytest.mark.parametrize("fileno", ["", "def fileno(self): return 99"], ids=["unsupported", "not open"])
def test_a_terminal_without_a_file_descriptor_gets_a_bar(fileno):
    replaced = f"""
import io, sys
class Terminal(io.StringIO):
    def isatty(self): return True
    {fileno}
screen, sys.stderr = sys.stderr, Terminal()
{STAGE}
print(sys.stderr.getvalue(), file=screen)
"""
    done = python(replaced)
    assert done.returncode == 0 and re.search(r"100%\|[█#]+\| 40/40 episodes " + COUNT, done.stderr), done.stderr


def test_a_log_line_does_not_tear_the_bar():
    seen = on_a_terminal(
        STAGE.replace("stage.update(10)", "import logging; logging.getLogger('tfmeta').info('a line')")
    )
    lines = [line.rpartition("\r")[2] for line in seen.replace("\r\n", "\n").split("\n")]
    assert lines.count("a line") == 3, seen


LOG = """
import logging, sys
from tfmeta.utils import progress
progress.setup_logging(bool(sys.argv[1:]))
progress.setup_logging(bool(sys.argv[1:]))
for name in ("tfmeta.federated.rounds", "experiments.measured", "another.library"):
    for level in ("debug", "info", "warning"):
        getattr(logging.getLogger(name), level)(f"{name} {level}")
"""


@pytest.mark.parametrize(("words", "shown"), [((), ("info",)), (("verbose",), ("debug", "info"))])
def test_tfmeta_logs_what_it_does_and_other_libraries_warnings(words, shown):
    expected = []
    for name in ("tfmeta.federated.rounds", "experiments.measured"):
        expected += [f"{name} {level}" for level in shown] + [f"warning: {name} warning"]
    assert python(LOG, *words).stderr.splitlines() == [*expected, "warning: another.library warning"]


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(143)])
def test_a_signal_before_the_lock_is_taken_is_not_lost_in_a_log_line(end, monkeypatch, capsys):
    class Signalled(progress._Lock):
        def acquire(self):
            raise end

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((80, 24)))
    monkeypatch.setattr(sys.stderr, "fileno", lambda: 2, raising=False)
    with progress.bar(2, "a stage", "step"):
        with monkeypatch.context() as signalled:
            signalled.setattr(progress.Bar, "_lock", Signalled())
            with pytest.raises(type(end)) as caught:
                logging.getLogger().error("a line")
    assert caught.value is end


def test_bars_need_no_import_and_no_thread_of_their_own():
    found = "threading.active_count(), 'multiprocessing' in sys.modules"
    seen = on_a_terminal(f"{STAGE}\nimport sys, threading; print({found}, file=sys.stderr)\n")
    assert seen.splitlines()[-1] == "1 False"
