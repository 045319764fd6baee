"""What a run says while it works: one bar a stage, log lines, and no start-up noise.

Everything goes to standard error. Where that is no terminal there is no bar, but a line at each stage's
start and end; in a notebook the bar is part of its cell's output.
"""

import contextlib
import importlib
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import warnings

from tqdm import tqdm

logger = logging.getLogger(__name__)

_OURS = ("tfmeta", "experiments", "figures")

# Lines that TensorFlow's C++ prints on healthy machines while it is imported (GPU build: the first four).
_NOISE = (
    r"Unable to register cu(DNN|FFT|BLAS) factory: Attempting to register factory",
    r"computation_placer already registered\. Please check linkage",
    r"TF-TRT Warning: Could not find TensorRT",
    r"Could not find cuda drivers on your machine, GPU will not be used",
    r"This TensorFlow binary is optimized to use available CPU instructions",
    r"^To enable the following instructions: [A-Z0-9_. ]+, in other operations, rebuild TensorFlow",
    r"All log messages before absl::InitializeLog\(\) is called are written to STDERR",
)
# A cell's output cannot be moved up in, as a bar within a bar wants to: both take turns at the last line.
_NOTEBOOK = {"ncols": 100, "position": 0}
_NOISY_WARNINGS = (
    r"pkg_resources is deprecated as an API",  # google.rpc, of TFF's dependencies
    r"Protobuf gencode version .* is .* older than the runtime version",
)


class Bar(tqdm):
    """tqdm for one process, ended by signals at any moment.

    tqdm's own lock is made at its first use, by an import of many milliseconds, and a signal in there was lost. Its
    monitor, a thread that looks after bars which skip updates (these do not), may wait at the end for a lock that a
    signal left taken.
    """

    monitor_interval = 0

    def __init__(self, *args, miniters=1, **kwargs):
        super().__init__(*args, miniters=miniters, **kwargs)


Bar.set_lock(threading.RLock())


@contextlib.contextmanager
def bar(total, desc, unit, initial=0):
    """Yield a tqdm bar of ``total`` units with rate and time left; call its ``update(n)``.

    ``initial`` units were done by an earlier run; if that is all of them, nothing is said. Where standard error is
    no terminal the bar is off and two log lines tell of the stage instead.
    """
    notebook, busy = _in_notebook(), initial < total
    shown = busy and (notebook or sys.stderr.isatty())
    told = busy and not shown
    if told:
        done = f", {initial} done before" if initial else ""
        logger.info("%s: %d %s%s", desc, total, unit, done)
    begun = time.monotonic()
    with Bar(
        total=total,
        desc=desc,
        unit=f" {unit}",
        initial=initial,
        disable=not shown,
        **(_NOTEBOOK | {"file": sys.stdout} if notebook else _width() | {"file": sys.stderr}),
    ) as stage:
        try:
            yield stage
        except BaseException:
            if told:
                logger.info("%s: stopped after %.1f s", desc, time.monotonic() - begun)
            raise
    if told:
        logger.info("%s: done in %.1f s", desc, time.monotonic() - begun)


def _in_notebook():
    """Tell whether a cell's output is where standard error goes; that is no terminal, but knows how to draw a bar."""
    return type(sys.stderr).__module__.startswith("ipykernel.")


def _width():
    """Fit the bar to the terminal; some do not know their size, and tqdm would then draw nothing."""
    try:
        known = os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):  # no terminal, or a stream that is no file
        known = False
    return {"dynamic_ncols": True} if known else {"ncols": 80}


def setup_logging(verbosity=0, log_file=None):
    """Send the log of tfmeta to standard error, and to ``log_file`` (appended, everything, with times).

    ``verbosity``: -1 warnings only, 0 also what a run does, 1 also details. Other libraries are heard from
    warnings on. Calling it again replaces what it set before. Raises ``StorageError`` where the file cannot
    be opened.
    """
    root = logging.getLogger()
    for handler in [h for h in root.handlers if getattr(h, "_tfmeta", False)]:
        root.removeHandler(handler)
        handler.close()
    screen = _Screen()
    screen.setLevel({-1: logging.WARNING, 0: logging.INFO}.get(verbosity, logging.DEBUG))
    screen.setFormatter(_Plain())
    _add(root, screen)
    if log_file is not None:
        _add(root, _file_handler(log_file))
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if log_file else screen.level)


def quiet_tensorflow(*modules):
    """Keep TensorFlow's and TFF's start-up noise off the screen; call it before they are imported.

    ``modules`` (``"tensorflow"``, ``"tensorflow_federated"``) are imported here and now, with the known
    lines that their C++ prints taken out of standard error; every other line, exception and crash report
    comes through. Without modules only the settings are made. An environment that sets TF_CPP_MIN_LOG_LEVEL
    itself keeps it.
    """
    # 2 leaves errors; 3 would hide real ones too.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for message in _NOISY_WARNINGS:
        warnings.filterwarnings("ignore", message=message, category=UserWarning)
    missing = [name for name in modules if name not in sys.modules]
    if missing:
        with _without_noise():
            for name in missing:
                importlib.import_module(name)


@contextlib.contextmanager
def _without_noise():
    """Drop the lines of ``_NOISE`` from file descriptor 2, where C++ writes.

    Another process does the filtering: it needs no lock of this one's interpreter (an import in C++ may hold
    it while the pipe fills up), and passes on what this one says last when it crashes.
    """
    grep = shutil.which("grep")
    if grep is None:
        yield
        return
    sys.stderr.flush()
    screen = os.dup(2)
    try:
        grep = subprocess.Popen(
            [grep, "--line-buffered", "-a", "-v", "-E", "|".join(_NOISE)],
            stdin=subprocess.PIPE, stdout=screen, stderr=subprocess.DEVNULL, env={"LC_ALL": "C"},
            start_new_session=True,
        )  # fmt: skip
        os.dup2(grep.stdin.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            grep.stdin.close()
            # A process started meanwhile may hold the pipe open; it then keeps its filter.
            with contextlib.suppress(subprocess.TimeoutExpired):
                grep.wait(timeout=2)
    finally:
        os.close(screen)


class _Screen(logging.Handler):
    """Writes to whatever standard error is now, above a bar where there is one."""

    def emit(self, record):
        try:
            Bar.write(self.format(record), file=sys.stderr)
        except Exception as error:
            if isinstance(error.__context__, (KeyboardInterrupt, SystemExit)):
                raise error.__context__ from None  # the end of the run, over which tqdm's tidying up fell
            self.handleError(record)


class _Plain(logging.Formatter):
    """The message alone; warnings and errors say what they are."""

    def format(self, record):
        text = super().format(record)
        return text if record.levelno <= logging.INFO else f"{record.levelname.lower()}: {text}"


def _file_handler(path):
    from pathlib import Path

    from tfmeta.errors import StorageError

    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"the log {path} cannot be opened ({error.strerror}); choose another file") from error
    handler.setLevel(logging.DEBUG)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler


def _add(root, handler):
    handler._tfmeta = True  # what a later call replaces
    root.addHandler(handler)
