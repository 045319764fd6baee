"""How the command ends on Ctrl-C, a termination signal or a closed terminal: at once, cleanly, and for certain.

A signal raises `Ended`, so that TFF's worker ends, locks are released and nothing half-made stays. But an exception can
be lost: Python prints and forgets it in a callback of the garbage collector, and a library's import can turn it into
another error. So `Ending` raises it again until it gets through.
"""

import atexit
import contextlib
import os
import signal
import sys
import time

AGAIN = 0.3  # seconds after which a lost exception is raised again
TWICE = 1.0  # seconds; a second signal that comes later than this asks for an end without tidying up
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(SystemExit):
    """A signal ends the process; its code is 128 and the signal's number, as in a shell."""


class Ending:
    """Handles the signals that end a process; made and installed once, by its main thread.

    Args:
        words: What to print on Ctrl-C.
    """

    def __init__(self, words: str):
        self._words, self._number, self._since = words, None, 0.0
        self._act = self._leave  # what a signal does now
        self._code = None  # with which the command has ended; no number: Python has something to print

    def install(self) -> None:
        """Handle the signals from now on: they end the process at once, until `start` is called."""
        for number in ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:  # nohup's run outlives its terminal
                signal.signal(number, self._received)
        signal.signal(signal.SIGALRM, lambda *_: self._act())
        sys.unraisablehook = lambda lost: issubclass(lost.exc_type, Ended) or sys.__unraisablehook__(lost)
        atexit.register(self._last)  # before all others, so it is called after them

    def start(self) -> None:
        """From now on a signal raises `Ended`, because there is something to tidy up."""
        self._act = self._raise

    def stop(self) -> None:
        """Call this when all is tidy; it raises `Ended` if a signal was received, whatever became of the first one."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._act = lambda: None  # Python is about to exit, and `_last` sees to the code
        if self._number is not None:
            self._say()
            raise Ended(128 + self._number)
        error = sys.exc_info()[1]
        self._code = 0 if error is None else error.code if isinstance(error, SystemExit) else None

    def _received(self, number, _):
        now = time.monotonic()
        if self._number is None:
            self._number, self._since = number, now
        elif now - self._since > TWICE:
            self._leave()
        self._act()

    def _raise(self):
        """Raise `Ended`, unless it is on its way: then code that tidies up is running."""
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
        error = sys.exc_info()[1]
        while error is not None and not isinstance(error, Ended):
            error = error.__context__
        if error is None:
            raise Ended(128 + self._number)

    def _leave(self):
        self._say()
        os._exit(128 + self._number)

    def _last(self):
        """Exit without taking Python apart: that takes long with TensorFlow, and a signal would have another code."""
        code = self._code if self._number is None else 128 + self._number
        with contextlib.suppress(OSError):  # Python tries again, and reports it
            sys.stdout.flush()
            sys.stderr.flush()
            if isinstance(code, int):
                os._exit(code)

    def _say(self):
        if self._number == signal.SIGINT:
            with contextlib.suppress(OSError):  # nobody reads it any more
                os.write(2, f"{self._words}\n".encode())  # not `print`, which the signal may have interrupted
