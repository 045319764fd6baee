"""Where an environment cannot be set up, `make env` says why, and what to do, in one sentence."""

import errno
import os
import platform
import runpy
import shutil
import socket

import pytest
from small_checkout import PYTHON, ROOT

INSTALLER = runpy.run_path(str(ROOT / "tools" / "installer.py"))
NETWORK = {"PIP_NO_INDEX": None, "PIP_FIND_LINKS": None}


def fail(tool, ready, *arguments, **variables):
    """Install something with pip or uv, in vain; return the sentence that says why."""
    installer = INSTALLER["Installer"](ready.env)
    installer.variables = ready.variables(**variables)
    with pytest.raises(SystemExit) as end:
        if tool == "uv":
            installer.uv("install", "--reinstall", *arguments)
        else:
            installer.run(installer.python, "-Im", "pip", "install", "--force-reinstall", *arguments)
    sentence = str(end.value)
    assert sentence.startswith("tfmeta: ") and "\n" not in sentence and "install.log" in sentence
    return sentence


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_unreachable_index_is_named(ready, tool):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        index = f"http://127.0.0.1:{closed.getsockname()[1]}/simple"
        sentence = fail(tool, ready, "thing", PIP_INDEX_URL=index, **NETWORK)
    assert "cannot be reached" in sentence
    assert "refused" in (ready.env / "install.log").read_text()


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_package_that_the_index_lacks_is_named(ready, tool):
    sentence = fail(tool, ready, "nothing==1")
    assert "nothing==1" in sentence and "pip config list" in sentence


@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_file_with_a_wrong_hash_is_refused(ready, tool, tmp_path):
    (tmp_path / "lock").write_text(f"thing==1 --hash=sha256:{'0' * 64}")
    sentence = fail(tool, ready, "--require-hashes", "-r", str(tmp_path / "lock"))
    assert "thing==1" in sentence and "caches" in sentence


def test_cause_that_is_not_known_is_quoted(ready):
    assert "missing.txt" in fail("pip", ready, "thing", PIP_CONSTRAINT="missing.txt")


def test_folder_that_cannot_be_written_is_explained(checkout):
    assert "VENV" in checkout.fail(VENV="/sys/tfmeta")


def test_cache_that_cannot_be_written_is_explained(ready):
    assert "UV_CACHE_DIR" in fail("uv", ready, "thing", UV_CACHE_DIR="/sys/tfmeta")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("before", ["", "ERROR: Could not install packages due to an OSError: ", "error: x\n  cause: "])
def test_full_disk_is_explained(number, before):
    sentence = INSTALLER["explain"](f"{before}{OSError(number, os.strerror(number), 'some/file')}")
    assert os.strerror(number) in sentence and "VENV" in sentence and "UV_CACHE_DIR" in sentence


@pytest.mark.parametrize(
    ("name", "value", "told"), [("libc_ver", ("glibc", "2.28"), r"glibc 2\.31"), ("machine", "arm64", "Linux x86_64")]
)
def test_machine_on_which_tff_does_not_run_is_refused(bootstrap, monkeypatch, name, value, told):
    monkeypatch.setattr(platform, name, lambda: value)
    with pytest.raises(SystemExit, match=told):
        bootstrap["main"]("/nowhere", "requirements.txt")


def stand_in(folder, name, text):
    """Put a shell script `name` on the PATH that prints `text`; return the PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    for tool in ("sh", "make", "uname"):
        if not (folder / tool).exists():
            (folder / tool).symlink_to(shutil.which(tool))
    return str(folder)


@pytest.mark.parametrize("name", ["/nowhere/python", "a python"])
def test_python_of_another_version_is_refused(checkout, tmp_path, name):
    path = stand_in(tmp_path / "bin", "a python", "exit 1")  # as one of another version
    assert f" {name} is not one" in checkout.fail(PYTHON=name, PATH=path)


def test_python_of_another_name_will_do(checkout, tmp_path):
    path = stand_in(tmp_path / "bin", "python3.11", "exit 127")
    stand_in(tmp_path / "bin", "python", f'exec "{PYTHON}" "$@"')
    (checkout.folder / "tools" / "bootstrap.py").write_text("import sys; sys.exit(f'tfmeta: {sys.argv[1:]}.')")
    assert "['.venv', 'requirements.txt']" in checkout.fail(PYTHON=None, PATH=path)
