"""A checkout in small: the real Makefile and tools, with tiny wheels in place of TensorFlow and its company."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = str(Path(sys.base_prefix, "bin", "python3.11"))
BACKEND = """\
import shutil

def build_editable(folder, config_settings=None, metadata_directory=None):
    return shutil.copy("tfmeta-1-py3-none-any.whl", folder).rpartition("/")[2]
"""
EVERYTHING = ["setuptools", "tfmeta", "thing", "wheel"]  # the tiny packages
PRINTS_ARGUMENTS = "import sys\n\ndef main():\n    print(sys.argv[1:])\n"


def write_wheel(folder, name, files, version="1"):
    """Write a wheel with `files` (path -> text or bytes) to `folder` and return its path."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in (files | {f"{info}/RECORD": record}).items():
            entry = zipfile.ZipInfo(file)
            entry.external_attr = (0o100755 if "/scripts/" in file else 0o100644) << 16
            archive.writestr(entry, content)
    return path


def requirement(wheel):
    """Return the line of a lock that asks for the file `wheel`."""
    name, version = wheel.name.split("-")[:2]
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def pack_uv(folder):
    """Pack the uv of the environment that runs the tests as a wheel; return its path."""
    uv = Path(sys.prefix, "bin", "uv")
    assert uv.exists(), f"{sys.prefix} has no uv: run the tests in an environment that `make env` set up"
    version = re.search(r"^uv==(\S+)", (ROOT / "requirements-tools.txt").read_text(), re.MULTILINE)[1]
    return write_wheel(folder, "uv", {f"uv-{version}.data/scripts/uv": uv.read_bytes()}, version)


class Checkout:
    """A copy of what sets up the environment, with a tiny package, wheels and lock of its own."""

    def __init__(self, folder: Path, uv: Path):
        self.folder = folder
        self.env = folder / ".venv"
        self.wheels = folder / "wheels"
        self.wheels.mkdir(parents=True)
        shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "Makefile", folder)
        (self.wheels / uv.name).symlink_to(uv)
        (folder / "requirements-tools.txt").write_text(requirement(uv))
        names = ("setuptools", "thing", "wheel")
        tiny = [write_wheel(self.wheels, name, {f"{name}/__init__.py": ""}) for name in names]
        (folder / "requirements.txt").write_text("".join(map(requirement, tiny)))
        for name in ("tfmeta", "experiments", "figures", "tests", "docs"):
            (folder / name).mkdir()
        (folder / "tfmeta" / "__init__.py").touch()
        (folder / "setup.py").touch()
        backend = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        (folder / "pyproject.toml").write_text(backend)
        (folder / "backend.py").write_text(BACKEND)
        script = {"tfmeta-1.dist-info/entry_points.txt": "[console_scripts]\ntfmeta = prints_arguments:main\n"}
        write_wheel(folder, "tfmeta", {"prints_arguments.py": PRINTS_ARGUMENTS, **script})

    def variables(self, **changes):
        """Return an environment with next to nothing in it; pip finds only the tiny wheels."""
        base = {"HOME": str(self.folder), "PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": os.devnull, "PYTHON": PYTHON}
        base |= {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": self.wheels.as_uri(),
            "PIP_RETRIES": "1",
            "UV_HTTP_RETRIES": "0",
        }
        return {name: value for name, value in (base | changes).items() if value is not None}

    def start(self, *arguments, **changes):
        """Start `make` in a session of its own."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        variables = self.variables(**changes)
        command = ["make", *(arguments or ["env"])]
        return subprocess.Popen(command, cwd=self.folder, env=variables, start_new_session=True, **streams)

    def run(self, *arguments, **changes):
        """Run `make`; return its exit code and what it printed on standard output and error."""
        process = self.start(*arguments, **changes)
        try:
            printed = process.communicate(timeout=100)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, *printed

    def make(self, **changes):
        """Run `make env`; return its exit code and the lines of standard error, without make's own."""
        code, _, printed = self.run("env", **changes)
        return code, [line for line in printed.splitlines() if not line.startswith("make")]

    def fail(self, **changes):
        """Run `make env`, which must fail with one sentence and leave nothing installed; return the sentence."""
        code, lines = self.make(**changes)
        assert code != 0
        sentences = [line for line in lines if not line.startswith("tfmeta: setting up ")]
        assert len(sentences) == 1 and sentences[0].startswith("tfmeta: ") and sentences[0].endswith("."), lines
        assert not (self.env / "lib").exists()
        return sentences[0]

    def installed(self):
        """Return the names of the tiny packages in the environment."""
        found = self.env.glob("lib/python3.11/site-packages/*-1.dist-info")
        return sorted(path.name.partition("-")[0] for path in found)
