"""The command `tfmeta`, also as `python -m tfmeta`."""

import importlib.util
import sys
from pathlib import Path

from tfmeta.utils.signals import Ending

_ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the command `tfmeta`."""
    resumes = ": the same command continues from the last checkpoint"
    ending = Ending(f"interrupted{resumes if sys.argv[1:2] in (['run'], ['figure']) else ''}")
    ending.install()
    _check_packages()
    from experiments.cli import main as command

    ending.start()
    try:
        command(prog_name="tfmeta")
    finally:
        ending.stop()


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
