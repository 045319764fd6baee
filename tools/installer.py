"""Run pip and uv on an environment, uv with the settings that the user gave pip."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

from failures import SetupError, explain

ROOT = Path(__file__).resolve().parent.parent
# The user's settings decide where packages come from and are cached, but not what is installed or where to.
DROPPED = r"PYTHON(PATH|HOME)|PIP_(TARGET|PREFIX|ROOT|REQUIREMENT)|UV_(?!.*(INDEX|LINKS|HOST|HTTP|CACHE|CERTS)).*"
UV_VARIABLES = {  # pip's setting -> uv's variables for the same
    "index-url": ["UV_DEFAULT_INDEX"],
    "extra-index-url": ["UV_INDEX"],
    "find-links": ["UV_FIND_LINKS"],
    "trusted-host": ["UV_INSECURE_HOST"],
    "timeout": ["UV_HTTP_TIMEOUT"],
    "retries": ["UV_HTTP_RETRIES"],
    "cert": ["SSL_CERT_FILE"],
    "client-cert": ["SSL_CLIENT_CERT"],
    "proxy": ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"],
}
# Like pip, uv then takes a file from whichever index has it. This is safe, since its hash must be the lock's.
UV_OPTIONS = ["--no-config", "--index-strategy=unsafe-best-match"]


class Installer:
    """pip and uv for the environment in `folder`, which print to the file `log`.

    They inherit the descriptor `held`, so that a file locked through it stays locked until they have ended.
    """

    def __init__(self, folder: Path, log: Path, held: int | None = None):
        self.python, self.log = str(folder / "bin" / "python"), log
        self.held = [] if held is None else [held]
        self.variables = {name: value for name, value in os.environ.items() if not re.fullmatch(DROPPED, name)}
        self.variables |= {"PIP_USER": "0"}
        # Debian may lack ensurepip: then the base Python's own pip does the work.
        self.has_pip = importlib.util.find_spec("ensurepip") is not None
        base = [sys.executable, "-Im", "pip", "--python", self.python]
        self.pip_command = [self.python, "-Im", "pip"] if self.has_pip else base

    def venv(self, folder: Path) -> None:
        """Make an empty environment, with pip in it if this Python brings one."""
        self.run([sys.executable, "-Im", "venv", *([] if self.has_pip else ["--without-pip"]), str(folder)])

    def pip_install(self, *files: Path) -> None:
        """Install with pip what the requirements `files` list, checking their hashes."""
        options = ("--require-hashes", "--no-deps", "--only-binary=:all:", "--no-input")
        self.run([*self.pip_command, "install", *options, *(f"--requirement={file}" for file in files)])

    def uv(self, *arguments: str) -> None:
        """Run `uv pip` with `arguments` and pip's settings."""
        settings = self.pip_settings()
        options = UV_OPTIONS + ["--no-index"] * (settings.get("no-index", "0").lower() in ("1", "true", "yes", "on"))
        translated = {uv: settings[name] for name, names in UV_VARIABLES.items() if name in settings for uv in names}
        command = [str(Path(self.python).with_name("uv")), "pip", *arguments, "--python", self.python, *options]
        self.run(command, translated)

    def pip_settings(self) -> dict[str, str]:
        """Return pip's settings by name, from its variables and files."""
        command = [*self.pip_command, "config", "list"]  # not in the log: an index's address may hold a password
        listed = subprocess.run(command, cwd=ROOT, env=self.variables, capture_output=True, text=True).stdout
        settings = {}
        for scope in ("global.", "install.", ":env:."):  # the later ones win, as in pip
            for name, _, value in (line.partition("=") for line in listed.splitlines()):
                if name.startswith(scope):
                    settings[name.removeprefix(scope)] = " ".join(ast.literal_eval(value).split())
        return settings

    def run(self, command: list[str], variables: dict[str, str] | None = None) -> None:
        """Run `command` with more `variables`; raise `SetupError` with the cause if it fails."""
        environment = self.variables | (variables or {})
        with self.log.open("ab") as log:
            start, streams = log.tell(), {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            done = subprocess.run(command, cwd=ROOT, env=environment, pass_fds=self.held, **streams)
        if done.returncode != 0:
            printed = self.log.read_bytes()[start:].decode(errors="replace")
            raise SetupError(f"{explain(printed)}; all that was printed is in {self.log}")
