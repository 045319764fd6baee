"""Run pip and uv on an environment, uv with the settings that the user gave pip."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = "requirements-tools.txt"  # pip and uv themselves
# The user's settings decide where packages come from and are cached, but not what is installed or where to.
DROPPED = r"PYTHON(PATH|HOME)|PIP_(TARGET|PREFIX|ROOT|REQUIREMENT)|UV_(?!.*(INDEX|LINKS|HOST|HTTP|CACHE|CERTS)).*"
# uv's variables for pip's settings: where packages come from, and how to reach it
SOURCES = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS"}
CONNECTION = {"trusted-host": "UV_INSECURE_HOST", "cert": "SSL_CERT_FILE", "proxy": "ALL_PROXY"}
CAUSES = {  # what pip, uv or the system prints -> what to tell the user; the first match counts
    "No space|quota|ermission|ermitted|Read-only": "a disk is full or read-only: set VENV and UV_CACHE_DIR to others",
    "No module named ensurepip": "Python is incomplete: install package python3.11-venv, or set PYTHON to another one",
    "CERTIFICATE|peer certificate": "the package index's certificate is not trusted: set PIP_CERT to your network's",
    "HASHES|Hash mismatch": "a download is damaged or was replaced: empty the caches of pip and uv, and try again",
    "[Ff]etch|onnect|imed out": "the package index cannot be reached: check the network and `pip config list`",
    "No matching|No solution": "the package index lacks a package: check `pip config list`",
}


def explain(output: str) -> str:
    """Return what went wrong and what to do about it, in one sentence, from the `output` of pip, uv or the system."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["it printed nothing"]
    # pip names a file with a wrong hash below its error, as "package==version from file".
    errors = [line for line in lines if re.match(r"error|cause|\S+==\S+ from", line, re.IGNORECASE)] or lines
    cause = next((text for pattern, text in CAUSES.items() if re.search(pattern, output)), "the installation failed")
    return f"{cause} ({errors[-1].rstrip('.:')})"


class Installer:
    """pip and uv for the environment in `folder`; what they print is in its install.log."""

    def __init__(self, folder: Path):
        self.python, self.log = str(folder / "bin" / "python"), folder / "install.log"
        self.variables = {name: value for name, value in os.environ.items() if not re.fullmatch(DROPPED, name)}
        self.variables |= {"PIP_USER": "0", "PIP_NO_INPUT": "1"}

    def create(self) -> None:
        """Make the environment, with nothing but pip and uv in it."""
        self.run(sys.executable, "-Im", "venv", "--without-pip", str(self.log.parent))
        self.run(self.python, "-Im", "ensurepip", "--default-pip")  # of Python's own age
        self.run(self.python, "-Im", "pip", "install", "--require-hashes", "--only-binary=:all:", "-r", TOOLS)
        self.run(self.python, "-Im", "pip", "uninstall", "--yes", "setuptools")  # ensurepip's; a lock lists its own

    def uv(self, *arguments: str) -> None:
        """Run `uv pip` with `arguments` and pip's settings, from its variables and files."""
        command = [self.python, "-Im", "pip", "config", "list"]  # not in the log, since it may print a password
        listed = subprocess.run(command, cwd=ROOT, env=self.variables, capture_output=True, text=True).stdout
        found = re.findall(r"^(global|install|:env:)\.(.+?)=(.+)$", listed, re.MULTILINE)
        found.sort(key=lambda setting: setting[0] == ":env:")  # the later ones win, as in pip
        settings = {name: ast.literal_eval(value).split() for _, name, value in found}
        for name, variable in (SOURCES | CONNECTION).items():
            if name in settings:
                self.variables[variable] = (" " if variable == "UV_INDEX" else ",").join(settings[name])
        # Like pip, uv then takes a file from whichever index has it. This is safe, since its hash must be the lock's.
        options = ["--no-config", "--index-strategy=unsafe-best-match", f"--python={self.python}"]
        options += ["--no-index"] if settings.get("no-index") in (["1"], ["true"], ["yes"], ["on"]) else []
        self.run(str(Path(self.python).with_name("uv")), "pip", *arguments, *options)

    def run(self, *command: str) -> None:
        """Run `command`; exit with a sentence on the cause if it fails."""
        with self.log.open("ab") as log:
            start = log.tell()
            # close_fds=False hands make's lock down to pip and uv: it is free only when they have ended, too.
            done = subprocess.run(command, cwd=ROOT, env=self.variables, stdout=log, stderr=log, close_fds=False)
        if done.returncode != 0:
            printed = self.log.read_bytes()[start:].decode(errors="replace")
            sys.exit(f"tfmeta: {explain(printed)}; all that was printed is in {self.log}.")
