"""A copy of the package whose code can be edited, and the command run from it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import tfmeta

ROOT = Path(tfmeta.__file__).parents[1]
# without TFF, which takes most of the time
RUN = ("--dataset", "glyphs", "--profile", "smoke", "--set", "runtime=inprocess", "--results", "results")


class Checkout:
    """A folder with copies of the packages, and of the results that another one left."""

    def __init__(self, folder, of=None):
        self.folder, self.results = folder, folder / "results"
        ignored = shutil.ignore_patterns("__pycache__")
        for name in ("tfmeta", "experiments", "figures"):
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        if of is not None:
            shutil.copytree(of.results, self.results)

    def edit(self, file, old, new):
        """Replace something in a file of the package."""
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))

    def run(self, *words, code=0):
        """Run the command (or a script) from here; return all that it printed."""
        given = [*words] if str(words[0]).endswith(".py") else ["-m", "tfmeta", *words, *RUN]
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        done = subprocess.run(
            [sys.executable, *given], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def files(self, pattern=""):
        """Return when files of results were written, by path, of those whose path contains `pattern`."""
        found = sorted(path for path in self.results.rglob("*.*") if path.suffix in (".npz", ".json", ".f32"))
        return {path: path.stat().st_mtime_ns for path in found if pattern in str(path)}
