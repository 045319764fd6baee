"""Setting up the environment: the real Makefile, python.sh and bootstrap.py, on a lock of three tiny wheels."""

import errno
import fcntl
import hashlib
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

pytestmark = pytest.mark.timeout(300)
ROOT = Path(__file__).resolve().parent.parent
BOOTSTRAP = runpy.run_path(str(ROOT / "tools" / "bootstrap.py"))
BACKEND = """\
import shutil

def build_editable(folder, config_settings=None, metadata_directory=None):
    return shutil.copy("tfmeta-1-py3-none-any.whl", folder).rpartition("/")[2]
"""


def write_wheel(folder, name, files):
    """Write version 1 of a wheel ``name`` with ``files`` (path -> text) and return its path."""
    path = folder / f"{name}-1-py3-none-any.whl"
    info = f"{name}-1.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in (files | {f"{info}/RECORD": record}).items():
            archive.writestr(file, text)
    return path


class Checkout:
    """A copy of what sets up the environment, with a tiny package, wheels and lock of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.env = folder / ".venv"
        self.wheels = folder / "wheels"
        self.wheels.mkdir(parents=True)
        shutil.copytree(ROOT / "tools", folder / "tools", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "Makefile", folder)
        lines = []
        for name in ("setuptools", "thing", "wheel"):
            wheel = write_wheel(self.wheels, name, {f"{name}/__init__.py": ""})
            lines.append(f"{name}==1 \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
        (folder / "requirements.txt").write_text("".join(lines))
        (folder / "setup.py").write_text("")
        backend = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        (folder / "pyproject.toml").write_text(backend)
        (folder / "backend.py").write_text(BACKEND)
        write_wheel(folder, "tfmeta", {"tfmeta.pth": str(folder)})

    def variables(self, **changes):
        """Return an environment with next to nothing in it; pip finds only the tiny wheels."""
        base = {"HOME": str(self.folder), "PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": os.devnull}
        base |= {"PYTHON": str(Path(sys.base_prefix, "bin", "python3.11"))}
        base |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": self.wheels.as_uri()}
        return {name: value for name, value in (base | changes).items() if value is not None}

    def start(self, **changes):
        """Start ``make env`` in a session of its own."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        command, variables = ["make", "env"], self.variables(**changes)
        return subprocess.Popen(command, cwd=self.folder, env=variables, start_new_session=True, text=True, **streams)

    def make(self, **changes):
        """Run ``make env``; return its exit code and the lines it printed, without make's own."""
        process = self.start(**changes)
        try:
            printed = process.communicate(timeout=100)[1]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        return process.returncode, [line for line in printed.splitlines() if not line.startswith("make")]

    def installed(self):
        """Return the names of what is installed in the environment."""
        found = self.env.glob("lib/python3.11/site-packages/*-1.dist-info")
        return sorted(path.name.partition("-")[0] for path in found)


@pytest.fixture
def checkout(tmp_path):
    """Return a checkout whose path holds blanks and a quote."""
    return Checkout(tmp_path / "a user's checkout")


def only_failure(checkout, code, lines):
    """Check that ``make env`` failed with one sentence, which is returned, and left nothing installed."""
    assert code != 0
    sentences = [line for line in lines if not line.startswith("tfmeta: setting up ")]
    assert len(sentences) == 1 and sentences[0].startswith("tfmeta: ") and sentences[0].endswith(".")
    assert not (checkout.env / ".complete").exists() and not (checkout.env / "lib").exists()
    return sentences[0]


def test_environment_is_made_once_and_follows_lock_and_setup(checkout, tmp_path):
    everything = ["setuptools", "tfmeta", "thing", "wheel"]
    elsewhere = str(tmp_path / "elsewhere")  # no setting of the user's leads pip astray
    code, lines = checkout.make(PIP_USER="1", PIP_TARGET=elsewhere, PYTHONPATH=elsewhere, PIP_REQUIRE_HASHES="1")
    assert code == 0 and "is ready" in lines[-1]
    assert checkout.installed() == everything and not Path(elsewhere).exists()
    assert not (checkout.env / "tmp").exists()

    (checkout.env / "ours").touch()  # survives as long as the environment is not made anew
    assert checkout.make() == (0, [])
    (checkout.folder / "setup.py").write_text("# changed")
    assert "is ready" in checkout.make()[1][-1]
    backend = (checkout.folder / "backend.py").read_text()
    (checkout.folder / "backend.py").write_text("oops")
    (checkout.folder / "setup.py").write_text("# changed again")
    assert checkout.make()[0] != 0 and checkout.make()[0] != 0
    (checkout.folder / "backend.py").write_text(backend)
    assert "is ready" in checkout.make()[1][-1]
    assert (checkout.env / "ours").exists() and checkout.installed() == everything

    lock = checkout.folder / "requirements.txt"
    lock.write_text(re.sub(r"thing==.*\n.*\n", "", lock.read_text()))
    assert checkout.make()[0] == 0
    assert not (checkout.env / "ours").exists()
    assert checkout.installed() == ["setuptools", "tfmeta", "wheel"]


def test_replaced_download(checkout):
    write_wheel(checkout.wheels, "thing", {"thing/__init__.py": "harm()"})
    sentence = only_failure(checkout, *checkout.make())
    assert "damaged or was replaced (thing==1" in sentence
    assert "DO NOT MATCH THE HASHES" in (checkout.env / "install.log").read_text()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_killed_installation_is_started_anew(checkout, end):
    with socket.create_server(("127.0.0.1", 0)) as stalled:  # takes connections and never answers
        stalled.settimeout(60)
        index = f"http://127.0.0.1:{stalled.getsockname()[1]}/simple"
        process = checkout.start(PIP_NO_INDEX=None, PIP_INDEX_URL=index)
        connection, _ = stalled.accept()  # pip is at work
        os.killpg(process.pid, end)
        printed = process.communicate(timeout=30)[1]
        connection.close()
    assert process.returncode != 0 and "Traceback" not in printed
    assert not (checkout.env / ".complete").exists()
    if end == signal.SIGTERM:
        assert "interrupted" in printed and not (checkout.env / "lib").exists()
    else:
        assert (checkout.env / "lib").exists()
        assert checkout.make()[0] == 0 and len(checkout.installed()) == 4


def test_second_make_waits_for_the_first(checkout):
    with (checkout.folder / "requirements.txt").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = checkout.start()
        assert "waiting" in process.stderr.readline()
        assert process.poll() is None and not checkout.env.exists()
        os.killpg(process.pid, signal.SIGTERM)
        printed = process.communicate(timeout=30)[1]
        assert "tfmeta: interrupted" in printed and "Traceback" not in printed


def pip_fails(checkout, **changes):
    """Return what the real pip prints when it cannot get what the checkout's lock lists."""
    wanted = ["download", "--no-deps", "--dest", "downloads", "--requirement", "requirements.txt"]
    variables = checkout.variables(**changes)
    for python in (sys.executable, variables["PYTHON"]):  # where ensurepip is missing, the latter has a pip
        command = [python, "-m", "pip", *wanted]
        done = subprocess.run(command, cwd=checkout.folder, env=variables, capture_output=True, text=True, timeout=100)
        if "No module named pip" not in done.stderr:
            assert done.returncode != 0
            return done.stdout + done.stderr
    raise AssertionError("no pip to ask")


def test_no_network(checkout):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        index = f"http://127.0.0.1:{closed.getsockname()[1]}/simple"
        printed = pip_fails(checkout, PIP_NO_INDEX=None, PIP_FIND_LINKS=None, PIP_INDEX_URL=index, PIP_RETRIES="1")
    assert "no network" in BOOTSTRAP["explain"](printed, checkout.env, 1)


def test_package_that_the_index_lacks(checkout):
    (checkout.wheels / "thing-1-py3-none-any.whl").unlink()
    assert "not to be had (thing==1)" in BOOTSTRAP["explain"](pip_fails(checkout), checkout.env, 1)


def test_cause_that_is_not_known_is_quoted(checkout):
    printed = pip_fails(checkout, PIP_CONSTRAINT="missing.txt")
    assert "missing.txt" in BOOTSTRAP["explain"](printed, checkout.env, 1)


def test_folder_of_somebody_else_is_left_alone(checkout):
    checkout.env.mkdir()
    (checkout.env / "thesis.tex").touch()
    assert "was not made by make" in only_failure(checkout, *checkout.make())
    assert [p.name for p in checkout.env.iterdir()] == ["thesis.tex"]


def stand_in(folder, name, text):
    """Put a shell script ``name`` on the PATH that prints ``text``; return the PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    for tool in ("sh", "make", "uname"):
        if not (folder / tool).exists():
            (folder / tool).symlink_to(shutil.which(tool))
    return str(folder)


def test_wrong_python(checkout, tmp_path):
    path = stand_in(tmp_path / "bin", "python3.11", "exit 127")  # as a version manager's shim that is not in use
    assert "no Python is on the PATH" in only_failure(checkout, *checkout.make(PYTHON=None, PATH=path))
    stand_in(tmp_path / "bin", "python3", "echo 3.13")
    sentence = only_failure(checkout, *checkout.make(PYTHON=None, PATH=path))
    assert "Python 3.11 is needed" in sentence and f"{path}/python3 is Python 3.13" in sentence
    sentence = only_failure(checkout, *checkout.make(PYTHON=f"{path}/python3", PATH=path))
    assert f"PYTHON={path}/python3 is Python 3.13" in sentence
    sentence = only_failure(checkout, *checkout.make(PYTHON="/nowhere/python", PATH=path))
    assert "PYTHON=/nowhere/python is no Python that starts" in sentence


def test_python_of_another_name_will_do(checkout, tmp_path):
    python = checkout.variables()["PYTHON"]
    path = stand_in(tmp_path / "bin", "python3.11", "exit 127")
    stand_in(tmp_path / "bin", "python", f'exec "{python}" "$@"')
    (checkout.folder / "tools" / "bootstrap.py").write_text("import sys; sys.exit(f'tfmeta: {sys.argv[1:]}.')")
    assert "['.venv', 'requirements.txt']" in only_failure(checkout, *checkout.make(PYTHON=None, PATH=path))


def test_other_operating_system(checkout, tmp_path):
    path = stand_in(tmp_path / "bin", "uname", '[ "$1" = -m ] && echo arm64 || echo Darwin')
    sentence = only_failure(checkout, *checkout.make(PATH=f"{path}:/usr/bin:/bin"))
    assert "this is Darwin arm64" in sentence and "Linux x86_64 only" in sentence


def test_no_disk_space(tmp_path):
    with pytest.raises(BOOTSTRAP["SetupError"], match=r"not enough disk space: [\d.]+ GiB are free .* VENV="):
        BOOTSTRAP["check_space"](tmp_path, 1 << 60)
    for number in (errno.ENOSPC, errno.EDQUOT):
        error = OSError(number, os.strerror(number), "some/file")
        for printed in (str(error), f"ERROR: Could not install packages due to an OSError: {error}"):
            assert "the disk filled up" in BOOTSTRAP["explain"](printed, tmp_path, 3 << 30)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-gpu.txt"])
def test_lock_meets_setup_and_names_no_index(name):
    text = (ROOT / name).read_text()
    entries = dict(re.findall(r"^([\w.-]+)==(\S+) \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE))
    assert len(entries) == len(re.findall(r"^\w", text, re.MULTILINE)) > 100  # all pinned, all with hashes
    assert "://" not in text
    setup = runpy.run_path(str(ROOT / "setup.py"), run_name="test")
    build = "gpu" if "gpu" in name else "cpu"
    for line in [*setup["REQUIRES"], *setup["EXTRAS"][build], *setup["EXTRAS"]["test"]]:
        asked = Requirement(line)
        assert asked.specifier.contains(entries[asked.name]), line


def test_locks_differ_in_tensorflow_only():
    pins = [set(re.findall(r"^[\w.-]+==\S+", (ROOT / f"requirements{x}.txt").read_text(), re.M)) for x in ("", "-gpu")]
    names = {pin.partition("==")[0] for pin in pins[0] ^ pins[1]}
    assert {name for name in names if not name.startswith("nvidia-")} == {"tensorflow", "tensorflow-cpu"}
