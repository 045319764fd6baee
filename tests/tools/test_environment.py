"""`make env` sets up, updates and refuses environments: the real Makefile, pip and uv on a lock of tiny wheels."""

import errno
import fcntl
import os
import re
import resource
import shutil
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from small_checkout import EVERYTHING, Checkout, write_wheel


@pytest.mark.slow
def test_environment_is_made_once(ready):
    (ready.env / "bin" / "pip").unlink()  # nothing is installed when nothing has changed
    assert ready.make() == (0, [])


@pytest.mark.slow
def test_package_is_installed_anew_and_may_fail_without_harm_to_the_lock(ready):
    (ready.env / "ours").touch()  # survives as long as the environment is not made anew
    backend = (ready.folder / "backend.py").read_text()
    (ready.folder / "backend.py").write_text("oops")
    (ready.folder / "setup.py").write_text("# changed")
    assert ready.make()[0] != 0
    (ready.folder / "backend.py").write_text(backend)
    assert "is ready" in ready.make()[1][-1]
    assert ready.installed() == EVERYTHING and (ready.env / "ours").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["thing", "wheel"])  # the second builds what has no wheel
def test_replaced_download_is_refused(checkout, name):
    write_wheel(checkout.wheels, name, {f"{name}/__init__.py": "harm()"})
    sentence = checkout.fail()
    assert f"{name}==1" in sentence and "caches" in sentence
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
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.mark.slow
def test_index_and_proxy_of_pip_conf_serve_uv_too(checkout, tmp_path):
    with Index(checkout.wheels) as proxy:
        conf = tmp_path / "pip.conf"
        lines = ["index-url = http://index.invalid/simple", "trusted-host = index.invalid", f"proxy = {proxy.url}"]
        conf.write_text("\n".join(["[global]", *lines]))
        code, _ = checkout.make(PIP_CONFIG_FILE=str(conf), PIP_NO_INDEX=None, PIP_FIND_LINKS=None)
    assert code == 0 and checkout.installed() == EVERYTHING
    assert proxy.uv_asked.is_set() and any(path.startswith("http://index.invalid/simple/thing") for path in proxy.asked)


@pytest.mark.slow
def test_changed_lock_is_installed_though_the_first_attempts_are_killed(checkout, ready):
    shutil.copytree(ready.env, checkout.env, symlinks=True)
    stamp = checkout.env / ".tfmeta-env"
    stamp.write_text(stamp.read_text().replace(str(ready.folder), str(checkout.folder)))
    assert "setting up" not in "".join(checkout.make()[1])  # complete
    lock = checkout.folder / "requirements.txt"
    lock.write_text(re.sub(r"thing==.*\n.*\n", "", lock.read_text()))
    with Index(stall=True) as index:
        for end in (signal.SIGINT, signal.SIGKILL):
            index.uv_asked.clear()
            process = checkout.start(PIP_NO_INDEX=None, PIP_INDEX_URL=f"{index.url}/simple")
            assert index.uv_asked.wait(60)  # pip has done its part, and uv is at work
            os.killpg(process.pid, end)
            printed = process.communicate(timeout=30)[1]
            assert process.returncode != 0 and "Traceback" not in printed
            assert (checkout.env / "lib").exists() == (end == signal.SIGKILL)
            assert ("interrupted" in printed) == (end != signal.SIGKILL)
    assert checkout.make()[0] == 0 and checkout.installed() == ["setuptools", "tfmeta", "wheel"]


@pytest.mark.slow
@pytest.mark.parametrize("end", [None, signal.SIGTERM])
def test_second_make_waits_for_the_first(ready, end):
    (ready.folder / "setup.py").write_text(f"# changed for {end}")
    with (ready.folder / "requirements.txt").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = ready.start()
        assert "waiting" in process.stderr.readline() and process.poll() is None
        if end:
            os.killpg(process.pid, end)
        else:
            fcntl.flock(lock, fcntl.LOCK_UN)
        printed = process.communicate(timeout=100)[1]
    assert ("tfmeta: interrupted" if end else "is ready") in printed and "Traceback" not in printed
    assert (process.returncode == 0) == (end is None) and ready.installed() == EVERYTHING


@pytest.mark.slow
def test_environment_of_another_checkout_is_refused_but_its_copy_replaced(ready, tmp_path, uv):
    other = Checkout(tmp_path / "other", uv)
    code, lines = other.make(VENV=str(ready.env))
    assert code != 0 and len(lines) == 1 and str(ready.folder) in lines[0] and "VENV=" in lines[0]
    assert ready.installed() == EVERYTHING

    shutil.copytree(ready.env, other.env, symlinks=True)
    (other.env / "ours").touch()
    assert other.make()[0] == 0
    assert not (other.env / "ours").exists() and other.installed() == EVERYTHING


@pytest.mark.slow
@pytest.mark.parametrize("lines", [0, 1, 3])
def test_environment_with_an_incomplete_stamp_is_set_up_again(ready, lines):
    stamp = ready.env / ".tfmeta-env"
    whole = stamp.read_text()
    stamp.write_text("\n".join(whole.splitlines()[:lines]))
    (ready.env / "ours").touch()
    code, printed = ready.make()
    assert code == 0 and "is ready" in printed[-1] and stamp.read_text() == whole
    assert (ready.env / "ours").exists() == (lines == 3) and ready.installed() == EVERYTHING


def test_folder_with_only_an_unfinished_stamp_is_ours(bootstrap, tmp_path):
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / ".tfmeta-env.new").touch()
    environment = bootstrap["Environment"](tmp_path / "env", "requirements.txt", package=False)
    environment.installer.create = lambda: sys.exit("set up")
    with pytest.raises(SystemExit, match="set up"):
        environment.update()
    assert environment.stamp.read_text().splitlines() == environment.wanted[:2]


def test_stamp_that_cannot_be_written_leaves_the_old_one(bootstrap, tmp_path):
    environment = bootstrap["Environment"](tmp_path, "requirements.txt", package=False)
    environment.stamp.write_text("old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            environment._write_stamp(lines=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert environment.stamp.read_text() == "old"


def test_file_system_without_locks_is_no_obstacle(bootstrap, tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(SystemExit, match="was not made by make"):  # what comes after the lock
        bootstrap["main"](str(tmp_path), "requirements.txt")


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
