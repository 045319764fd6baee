"""The command `tfmeta`, also as `python -m tfmeta`."""

import importlib.util
import signal
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the command `tfmeta`."""
    # These signals unwind like an exit, so TFF's worker ends, locks are released and nothing half-made stays.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup's run outlives its terminal
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        _check_packages()
        from experiments.cli import main as command

        command(prog_name="tfmeta")
    except KeyboardInterrupt:  # while modules are imported
        sys.exit(130)


def _check_packages() -> None:
    """Exit if other packages called `experiments` or `figures` hide this project's, or the current folder is gone.

    `python -m` puts the current folder first on Python's path, and `figures/out` is where figures go by default. The
    current folder is therefore taken off the path; PYTHONPATH can still name a folder that hides ours.
    """
    try:
        here = Path.cwd()
    except OSError as error:
        sys.exit(f"Error: the current folder cannot be used ({error.strerror}): change to one that exists")
    if here != _ROOT:
        sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]
    for name in ("experiments", "figures"):
        found = importlib.util.find_spec(name)
        places = [] if found is None else map(Path, found.submodule_search_locations or [found.origin])
        hiding = [place for place in places if place.resolve().parent != _ROOT]
        if found is None or hiding:
            where = f"{hiding[0]} hides" if hiding else f"{_ROOT} lacks"
            sys.exit(f"Error: {where} tfmeta's own package {name!r}: take its folder out of PYTHONPATH, or rename it")


if __name__ == "__main__":
    main()
