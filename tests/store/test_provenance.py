"""Where a result comes from."""

import datetime
import os
import subprocess
import time

import numpy as np
import pytest

from tfmeta.store import provenance


def git(folder, *arguments):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    names = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *names, "-C", folder, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    package = tmp_path / "checkout" / "tfmeta"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package.parent / ".gitignore").write_text("results/\n")
    git(package.parent, "init", "-q")
    git(package.parent, "add", ".")
    git(package.parent, "commit", "-q", "-m", "first")
    return package


def test_the_commit_says_whether_files_differ(checkout):
    head = git(checkout, "rev-parse", "HEAD")
    assert len(head) == 40 and provenance.commit(checkout) == head
    (checkout.parent / "results").mkdir()
    (checkout.parent / "results" / "x.json").write_text("{}")
    assert provenance.commit(checkout) == head  # results are not code
    (checkout / "new.py").write_text("")
    assert provenance.commit(checkout) == head + "-dirty"
    (checkout / "new.py").unlink()
    (checkout / "__init__.py").write_text("x = 1\n")
    assert provenance.commit(checkout) == head + "-dirty"


def test_the_commit_is_of_the_source_not_of_the_current_folder(checkout, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.chdir(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))  # as inside a hook of the other one
    assert provenance.commit(checkout) == git(checkout, "rev-parse", "HEAD")


def test_the_commit_of_an_installed_package_is_unknown(checkout, tmp_path, monkeypatch):
    installed = checkout.parent / ".venv" / "tfmeta"  # inside a checkout, but not part of it
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert provenance.commit(installed) == "unknown"
    outside = tmp_path / "site-packages" / "tfmeta"
    outside.mkdir(parents=True)
    assert provenance.commit(outside) == "unknown"
    monkeypatch.setenv("PATH", str(outside))
    assert provenance.commit(checkout) == "unknown"  # no git


def test_a_commit_during_a_run_does_not_change_its_provenance(checkout, monkeypatch):
    provenance.this_commit.cache_clear()
    monkeypatch.setattr(provenance.tfmeta, "__file__", str(checkout / "__init__.py"))
    head, begun = git(checkout, "rev-parse", "HEAD"), provenance.start()
    git(checkout.parent, "commit", "-q", "--allow-empty", "-m", "second")
    assert provenance.commit() != head
    for later in (begun, provenance.start()):
        assert provenance.collect("0" * 64, later)["commit"] == head
    provenance.this_commit.cache_clear()


def test_provenance_holds_commit_versions_data_and_time():
    before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    begun = provenance.start()
    time.sleep(0.05)
    found = provenance.collect("ab" * 32, begun)
    assert found["data_digest"] == "ab" * 32 and 0.05 <= found["seconds"] < 60
    assert before <= datetime.datetime.fromisoformat(found["started"]) <= datetime.datetime.now(datetime.UTC)
    assert found["commit"] == provenance.commit()
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["tensorflow"].startswith("2.14")
    assert found["versions"]["keras"].startswith("2.14")
    assert found["versions"]["tensorflow_federated"] == "0.87.0"
