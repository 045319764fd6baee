"""Where an environment cannot be set up, `make env` says why, and what to do, in one sentence."""

import errno
import os
import platform
import runpy
import shutil
import socket

import pytest
from small_checkout import PYTHON, ROOT

FAILURES = runpy.run_path(str(ROOT / "tools" / "failures.py"))


@pytest.mark.parametrize("stage", ["pip", "uv"])
def test_no_network(checkout, stage):
    links = {"PIP_FIND_LINKS": None} if stage == "pip" else {}  # pip gets its part from there without the index
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        index = f"http://127.0.0.1:{closed.getsockname()[1]}/simple"
        sentence = checkout.fail(PIP_NO_INDEX=None, PIP_INDEX_URL=index, **links)
    assert "network" in sentence
    assert "refused" in (checkout.env / "install.log").read_text()


@pytest.mark.parametrize("name", ["thing", "wheel"])  # the first comes by uv, the second by pip
def test_package_that_the_index_lacks(checkout, name):
    (checkout.wheels / f"{name}-1-py3-none-any.whl").unlink()
    sentence = checkout.fail()
    assert f"{name}==1" in sentence and "pip config list" in sentence


def test_cause_that_is_not_known_is_quoted(checkout):
    assert "missing.txt" in checkout.fail(PIP_CONSTRAINT="missing.txt")


def test_folder_that_cannot_be_written(checkout):
    assert "VENV=" in checkout.fail(VENV="/sys/tfmeta")


def test_cache_that_cannot_be_written(checkout):
    assert "UV_CACHE_DIR=" in checkout.fail(UV_CACHE_DIR="/sys/tfmeta")


def test_too_little_disk_space(tmp_path):
    with pytest.raises(FAILURES["SetupError"], match=rf"{tmp_path}.*[\d.]+ GiB are needed.*VENV="):
        FAILURES["check_machine"](tmp_path, 1 << 60)
    FAILURES["check_machine"](tmp_path, 1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("before", ["", "ERROR: Could not install packages due to an OSError: ", "error: x\n  cause: "])
def test_disk_that_fills_up_meanwhile(number, before):
    sentence = FAILURES["explain"](f"{before}{OSError(number, os.strerror(number), 'some/file')}")
    assert os.strerror(number) in sentence and "VENV=" in sentence and "UV_CACHE_DIR=" in sentence


def test_old_c_library(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.28"))
    with pytest.raises(FAILURES["SetupError"], match=r"2\.31.* 2\.28"):
        FAILURES["check_machine"](tmp_path, 1)


def stand_in(folder, name, text):
    """Put a shell script `name` on the PATH that prints `text`; return the PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    for tool in ("sh", "make", "uname"):
        if not (folder / tool).exists():
            (folder / tool).symlink_to(shutil.which(tool))
    return str(folder)


def test_wrong_python(checkout, tmp_path):
    path = stand_in(tmp_path / "bin", "python3.11", "exit 127")  # as a version manager's shim that is not in use
    stand_in(tmp_path / "bin", "python3", "echo 3.13")
    assert "PYTHON=" in checkout.fail(PYTHON=None, PATH=path)
    assert f"PYTHON={path}/python3 " in checkout.fail(PYTHON=f"{path}/python3", PATH=path)
    assert "PYTHON=/nowhere/python " in checkout.fail(PYTHON="/nowhere/python", PATH=path)


def test_python_of_another_name_will_do(checkout, tmp_path):
    path = stand_in(tmp_path / "bin", "python3.11", "exit 127")
    stand_in(tmp_path / "bin", "python", f'exec "{PYTHON}" "$@"')
    (checkout.folder / "tools" / "bootstrap.py").write_text("import sys; sys.exit(f'tfmeta: {sys.argv[1:]}.')")
    assert "['.venv', 'requirements.txt']" in checkout.fail(PYTHON=None, PATH=path)


def test_other_operating_system(checkout, tmp_path):
    path = stand_in(tmp_path / "bin", "uname", '[ "$1" = -m ] && echo arm64 || echo Darwin')
    assert "Darwin arm64" in checkout.fail(PATH=f"{path}:/usr/bin:/bin")
