"""What a run says while it works, on standard error: bars, log lines, and none of TensorFlow's start-up noise."""

import functools
import importlib
import io
import logging
import os
import shutil
import sys
import threading
import warnings
from contextlib import AbstractContextManager, suppress
from subprocess import PIPE, Popen, TimeoutExpired

warnings.filterwarnings("ignore", message="IProgress not found")  # a notebook without ipywidgets gets bars of text
from tqdm.auto import tqdm  # noqa: E402
from tqdm.contrib.logging import tqdm_logging_redirect  # noqa: E402

from tfmeta.utils.printable import message, one_line  # noqa: E402

_COUNT = "{n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
_KNOWN_ERRORS = "Unable to register cu(DNN|FFT|BLAS) factory|computation_placer already registered|TF-TRT Warning: "
_KNOWN_WARNINGS = "pkg_resources is deprecated as an API|Protobuf gencode version .* is .* older than the runtime"


class _Formatter(logging.Formatter):
    """A message may repeat names that a stranger chose: none acts on a terminal, or looks like another message."""

    def format(self, record: logging.LogRecord) -> str:
        return message(super().format(record))


class _Lock(type(threading.RLock())):
    def release(self):  # tqdm's tidying up, after a signal before the lock was taken; an error would hide the signal
        with suppress(RuntimeError):
            super().release()


class Bar(tqdm):
    """tqdm, set up so that a signal can end the process at any moment."""

    monitor_interval = 0  # no thread: it could wait at exit for a lock that a signal left taken
    __init__ = functools.partialmethod(tqdm.__init__, miniters=1)
    set_postfix = functools.partialmethod(tqdm.set_postfix, refresh=False)  # the next update shows it


Bar.set_lock(_Lock())  # now, since tqdm makes one at its first use, by an import in which a signal was lost


class _Lines(Bar):
    def display(self, *_, **__):
        logging.getLogger(__name__).info("%s", self)


def bar(total: int, desc: str, unit: str, initial: int = 0, every: float = 30) -> AbstractContextManager[Bar]:
    """Return a bar of `total` units; without a terminal, log lines at the start, at the end and `every` some seconds.

    The unit is named in the singular. Nothing is shown if an earlier run did all units (`initial`).
    """
    notebook = type(sys.stderr).__module__.startswith("ipykernel.")
    drawn = notebook or sys.stderr.isatty()
    given = dict(total=total, desc=one_line(desc), unit=f" {plural(total, unit)}", initial=initial)
    given["disable"] = initial >= total
    given["bar_format"] = ("{l_bar}{bar}| " if drawn else "{desc}: ") + _COUNT
    if not drawn:
        return _Lines(**given, mininterval=every, file=io.StringIO())
    if notebook:  # a bar cannot be above another in a cell's output
        return Bar(**given, file=sys.stdout, position=0)
    width = {"ncols": 80}  # of 0 columns, unknown, tqdm would draw no bar
    with suppress(OSError, ValueError):  # a user's own stream has no file descriptor
        width = {"dynamic_ncols": True} if os.get_terminal_size(sys.stderr.fileno()).columns else width
    return tqdm_logging_redirect(tqdm_class=Bar, **given, **width)


def plural(number: int, unit: str) -> str:
    """Return a unit's name for a number of them: "rounds", "sets of tasks", but "round" for 1."""
    return unit if number == 1 else f"{unit} ".replace(" ", "s ", 1).rstrip()


def setup_logging(verbose: bool = False) -> None:
    """Log to standard error what tfmeta does (with `verbose` in detail), and other libraries' warnings."""
    for level, start in ((10, ""), (20, ""), (30, "warning: "), (40, "error: ")):  # debug, info, warning, error
        logging.addLevelName(level, start)
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(levelname)s%(message)s"))
    logging.basicConfig(handlers=[handler], force=True)
    for name in ("tfmeta", "experiments", "figures"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)


def quiet_tensorflow(*modules: str) -> None:
    """Import "tensorflow" or "tensorflow_federated", if given, without known noise; all else they print is shown."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors; 3 would hide even those
    warnings.filterwarnings("ignore", message=_KNOWN_WARNINGS, category=UserWarning)
    if all(name in sys.modules for name in modules):
        return
    with open(os.dup(2), "wb", buffering=0) as screen:
        # not a thread: an import in C++ may hold the interpreter's lock while it prints, and a crash ends all threads
        command = [shutil.which("grep"), "--line-buffered", "-avE", _KNOWN_ERRORS]
        given = dict(stdin=PIPE, stdout=screen, env=os.environ | {"LC_ALL": "C"}, start_new_session=True)
        grep = Popen(command, **given) if command[0] else None
        try:
            os.dup2(grep.stdin.fileno() if grep else 2, 2)
            list(map(importlib.import_module, modules))
        finally:
            sys.stderr.flush()
            os.dup2(screen.fileno(), 2)
            if grep:
                grep.stdin.close()
                with suppress(TimeoutExpired):  # a process started meanwhile keeps the filter
                    grep.wait(timeout=2)
