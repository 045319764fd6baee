"""A signal ends the command with its code and without a traceback, whatever the code that it interrupts makes of it."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from processes import python

ROOT = Path(__file__).parents[2]
START = textwrap.dedent("""
    import gc, sys, threading, time, weakref
    from tfmeta.utils.signals import Ended, Ending

    ending = Ending("interrupted")
    ending.install()

    def busy(seconds=10):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    def ready():
        print("ready", flush=True)
""")
DURING = """
ending.start()
try:
    work()
finally:
    print("tidied", flush=True)
    ending.stop()
print("went on", flush=True)
"""


def ended(source, number=signal.SIGINT, *more):
    """Run a program, send a signal when it is ready, and others later; return its code, output and errors."""
    process = subprocess.Popen(
        [sys.executable, "-c", START + source], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        before = ""
        while (line := process.stdout.readline()) != "ready\n":
            assert line, process.stderr.read()
            before += line
        time.sleep(0.05)
        os.kill(process.pid, number)
        for seconds, number in more:
            time.sleep(seconds)
            os.kill(process.pid, number)
        output, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    return process.returncode, before + output, errors


LOSES = {
    "nothing": "def work(): ready(); busy()",
    "a callback of the garbage collector": """
def work():
    def callback(*_):
        gc.callbacks.clear()
        ready()
        busy(0.2)
    gc.callbacks.append(callback)
    gc.collect()
    busy()
""",
    "a finalizer": """
class Thing:
    def __del__(self):
        ready()
        busy(0.2)
def work():
    Thing()
    busy()
""",
    "a bare except": """
def work():
    try:
        ready()
        busy(0.2)
    except:
        pass
    busy()
""",
    "another error": """
def work():
    try:
        ready()
        busy()
    except BaseException:
        raise ImportError("numpy.core.multiarray failed to import")
""",
    "a question of click": """
def work():
    import click
    ready()
    click.confirm("really?")
""",
    "click": """
import click
@click.command()
def command(): ready(); busy()
def work(): command([])
""",
}


@pytest.mark.parametrize("loses", LOSES)
def test_a_signal_is_not_lost_in(loses):
    code, output, errors = ended(LOSES[loses] + DURING)
    assert code == 130
    assert output.split("?")[-1].split() in (["tidied"], ["[y/N]:", "tidied"])
    assert errors.strip() == "interrupted"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_silently_with_their_code(number):
    source = LOSES["a callback of the garbage collector"] + DURING
    assert ended(source, number) == (128 + number, "tidied\n", "")


def test_before_the_start_a_signal_ends_the_process_at_once():
    code, output, errors = ended("try:\n    ready(); busy()\nfinally:\n    print('tidied')")
    assert (code, output, errors) == (130, "", "interrupted\n")


TIDIES = """
def work():
    try:
        ready()
        busy()
    finally:
        busy({seconds})
        print("slowly", flush=True)
"""


def test_tidying_up_is_not_interrupted_by_a_second_signal_at_once():
    code, output, _ = ended(TIDIES.format(seconds=1) + DURING, signal.SIGINT, (0.3, signal.SIGINT))
    assert (code, output) == (130, "slowly\ntidied\n")


def test_a_second_signal_some_seconds_later_does_not_wait_for_tidying_up():
    began = time.monotonic()
    code, output, errors = ended(TIDIES.format(seconds=15) + DURING, signal.SIGINT, (1.5, signal.SIGINT))
    assert (code, output, errors) == (130, "", "interrupted\n") and time.monotonic() - began < 10


WHILE_PYTHON_EXITS = {
    "a thread that it waits for": """
def work():
    threading.Thread(target=lambda: (time.sleep(0.3), ready(), time.sleep(0.5), print("last", flush=True))).start()
""",
    "its last functions": """
import atexit
def work():
    atexit.register(lambda: (ready(), busy(0.5), print("last", flush=True)))
""",
}


@pytest.mark.parametrize("where", WHILE_PYTHON_EXITS)
def test_a_signal_while_python_exits_gives_its_code_without_a_traceback(where):
    source = WHILE_PYTHON_EXITS[where] + DURING
    assert ended(source) == (130, "tidied\nwent on\nlast\n", "")


def test_an_ignored_signal_stays_ignored():
    source = "os.kill(os.getpid(), signal.SIGHUP); ending.start(); ending.stop(); print('done')"
    done = subprocess.run(
        ["nohup", sys.executable, "-c", f"import os, signal\n{START}\n{source}"],
        cwd=ROOT, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize(
    ("work", "code", "said"),
    [
        ("print('x')", 0, ""),
        ("sys.exit(2)", 2, ""),
        ("sys.exit('a sentence')", 1, "a sentence\n"),
        ("raise type('Http', (Exception,), {'code': 44})('no')", 1, "Http: no\n"),
    ],
)
def test_without_a_signal_the_command_ends_with_its_own_code_and_words(work, code, said):
    done = python(START + f"def work(): {work}\n" + DURING)
    assert done.returncode == code and done.stderr.endswith(said) and "tidied" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_cannot_be_written_is_no_success():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", START + "print('x')\nending.start()\nending.stop()"]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode != 0 and "No space left" in done.stderr
