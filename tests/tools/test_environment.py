"""`make env` sets up, updates and refuses environments: the real Makefile, pip and uv on a lock of tiny wheels."""

import fcntl
import os
import re
import shutil
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from small_checkout import Checkout, write_wheel

pytestmark = pytest.mark.timeout(300)
EVERYTHING = ["setuptools", "tfmeta", "thing", "wheel"]


def test_environment_is_made_once_and_holds_lock_and_package(checkout, tmp_path):
    elsewhere = str(tmp_path / "elsewhere")  # no setting of the user's leads pip or uv astray
    code, lines = checkout.make(
        PIP_USER="1", PIP_TARGET=elsewhere, PYTHONPATH=elsewhere, PIP_REQUIRE_HASHES="1", UV_REQUIRE_HASHES="1"
    )
    assert code == 0 and "is ready" in lines[-1]
    assert checkout.installed() == EVERYTHING and not Path(elsewhere).exists()
    (checkout.env / "bin" / "pip").unlink()  # nothing is installed when nothing has changed
    assert checkout.make() == (0, [])


def test_environment_follows_setup_and_lock(checkout):
    assert checkout.make()[0] == 0
    (checkout.env / "ours").touch()  # survives as long as the environment is not made anew
    (checkout.folder / "setup.py").write_text("# changed")
    assert "is ready" in checkout.make()[1][-1]

    lock = checkout.folder / "requirements.txt"
    lock.write_text(re.sub(r"thing==.*\n.*\n", "", lock.read_text()))
    assert checkout.make()[0] == 0
    assert checkout.installed() == ["setuptools", "tfmeta", "wheel"] and (checkout.env / "ours").exists()


def test_package_that_does_not_build_leaves_the_installed_lock(checkout):
    assert checkout.make()[0] == 0
    backend = (checkout.folder / "backend.py").read_text()
    (checkout.folder / "backend.py").write_text("oops")
    (checkout.folder / "setup.py").write_text("# changed")
    (checkout.env / "ours").touch()
    assert checkout.make()[0] != 0 and checkout.make()[0] != 0
    (checkout.folder / "backend.py").write_text(backend)
    assert "is ready" in checkout.make()[1][-1]
    assert checkout.installed() == EVERYTHING and (checkout.env / "ours").exists()


@pytest.mark.parametrize("name", ["thing", "wheel"])  # the first comes by uv, the second by pip
def test_replaced_download_is_refused(checkout, name):
    write_wheel(checkout.wheels, name, {f"{name}/__init__.py": "harm()"})
    sentence = checkout.fail()
    assert f"{name}==1" in sentence and "cache" in sentence
    assert re.search("hash", (checkout.env / "install.log").read_text(), re.IGNORECASE)


class Index(ThreadingHTTPServer):
    """A package index that serves `wheels` to pip and uv, as a proxy too; with `stall`, uv never gets an answer."""

    daemon_threads = True

    def __init__(self, wheels=None, stall=False):
        super().__init__(("127.0.0.1", 0), Answer)
        self.wheels, self.stall = wheels, stall
        self.asked, self.uv_asked, self.over = [], threading.Event(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.shutdown()
        self.server_close()


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.headers["User-Agent"].startswith("uv/"):
            self.server.uv_asked.set()
            if self.server.stall:
                self.server.over.wait(60)
                return
        name = self.path.rstrip("/").rpartition("/")[2]
        found = sorted(self.server.wheels.glob(f"{name}-*")) if self.server.wheels else []
        if name.endswith(".whl"):
            content, kind = (self.server.wheels / name).read_bytes(), "application/octet-stream"
        else:
            content, kind = "".join(f'<a href="/{w.name}">{w.name}</a>' for w in found).encode(), "text/html"
        self.send_response(200 if content else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


def test_index_and_proxy_of_pip_conf_serve_uv_too(checkout, tmp_path):
    with Index(checkout.wheels) as proxy:
        conf = tmp_path / "pip.conf"
        lines = ["index-url = http://index.invalid/simple", "trusted-host = index.invalid", f"proxy = {proxy.url}"]
        conf.write_text("\n".join(["[global]", *lines]))
        code, _ = checkout.make(PIP_CONFIG_FILE=str(conf), PIP_NO_INDEX=None, PIP_FIND_LINKS=None)
    assert code == 0 and checkout.installed() == EVERYTHING
    assert proxy.uv_asked.is_set() and any(path.startswith("http://index.invalid/simple/thing") for path in proxy.asked)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_installation_is_started_anew(checkout, end):
    with Index(stall=True) as index:
        process = checkout.start(PIP_NO_INDEX=None, PIP_INDEX_URL=f"{index.url}/simple")
        assert index.uv_asked.wait(60)  # pip has done its part, and uv is at work
        os.killpg(process.pid, end)
        printed = process.communicate(timeout=30)[1]
    assert process.returncode != 0 and "Traceback" not in printed
    assert not (checkout.env / ".complete").exists()
    assert (checkout.env / "lib").exists() == (end == signal.SIGKILL)
    assert ("interrupted" in printed) == (end != signal.SIGKILL)
    assert checkout.make()[0] == 0 and checkout.installed() == EVERYTHING


def test_second_make_waits_for_the_first(checkout):
    with (checkout.folder / "requirements.txt").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = checkout.start()
        assert "waiting" in process.stderr.readline()
        assert process.poll() is None and not checkout.env.exists()
        fcntl.flock(lock, fcntl.LOCK_UN)
        printed = process.communicate(timeout=100)[1]
    assert process.returncode == 0 and "is ready" in printed


def test_interrupted_wait_leaves_the_installation_of_the_other_alone(checkout):
    assert checkout.make()[0] == 0
    (checkout.env / ".complete").unlink()  # as while another make installs
    with (checkout.folder / "requirements.txt").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = checkout.start()
        assert "waiting" in process.stderr.readline()
        os.killpg(process.pid, signal.SIGTERM)
        printed = process.communicate(timeout=30)[1]
    assert "tfmeta: interrupted" in printed and "Traceback" not in printed
    assert checkout.installed() == EVERYTHING


def test_environment_of_another_checkout_is_refused(checkout, tmp_path, uv):
    assert checkout.make()[0] == 0
    other = Checkout(tmp_path / "other", uv)
    code, lines = other.make(VENV=str(checkout.env))
    assert code != 0 and len(lines) == 1 and str(checkout.folder) in lines[0] and "VENV=" in lines[0]
    (checkout.env / ".complete").unlink()  # nor is it removed while it is unfinished
    assert other.make(VENV=str(checkout.env))[0] != 0 and checkout.installed() == EVERYTHING


def test_copied_checkout_gets_an_environment_of_its_own(checkout, tmp_path, uv):
    assert checkout.make()[0] == 0
    copy = Checkout(tmp_path / "copy", uv)
    shutil.copytree(checkout.env, copy.env, symlinks=True)
    (copy.env / "ours").touch()
    assert copy.make()[0] == 0
    assert not (copy.env / "ours").exists() and copy.installed() == EVERYTHING


def test_folder_of_somebody_else_is_left_alone(checkout):
    checkout.env.mkdir()
    (checkout.env / "thesis.tex").touch()
    assert "VENV=" in checkout.fail()
    assert [path.name for path in checkout.env.iterdir()] == ["thesis.tex"]


def test_clean_removes_environments_and_no_other_folder(checkout):
    checkout.env.mkdir()
    for name in (".venv-gpu", ".venv-docs"):
        (checkout.folder / name).mkdir()
        (checkout.folder / name / ".tfmeta-env").touch()
    assert checkout.run("clean")[0] == 0
    assert sorted(path.name for path in checkout.folder.glob(".venv*")) == [".venv"]
