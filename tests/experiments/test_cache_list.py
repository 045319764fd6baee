"""`tfmeta cache`, on what a real run leaves behind: glyphs, smoke, without TFF."""

import hashlib
import os
import shutil
import subprocess
import sys
import time

import pytest
from command_line import command, invoked, refused
from privileges import as_nobody, reachable_by_all

RUN = (
    "run", "fine_tuning", "--case", "a", "--dataset", "glyphs", "--profile", "smoke", "--set",
    "federation.runtime=inprocess", "--set", "evaluation.users=1",
)  # fmt: skip
REMOVE = ("cache", "--remove", "--yes")
HOLD = """
import sys
from tfmeta.store import lock
with lock.hold(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def files(folder, pattern="**/*"):
    """Return a digest of each file's content, by name; not of locks, nor of documents, which name their time."""
    found = (path for path in folder.glob(pattern) if path.is_file() and path.suffix in (".npz", ".npy", ".u8"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.fixture(scope="module")
def before(tmp_path_factory, cache_dir):
    """A results folder and a cache after a run; drawing glyphs again would take longer than the run."""
    folder = tmp_path_factory.mktemp("before")
    (folder / "cache" / "banks").mkdir(parents=True)
    for path in (cache_dir / "banks").glob("glyphs-????????????????.*"):
        shutil.copy2(path, folder / "cache" / "banks")
    run(folder)
    return folder


@pytest.fixture
def stored(before, tmp_path, monkeypatch):
    shutil.copytree(before, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("TFMETA_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder):
    given = {"TFMETA_CACHE": str(folder / "cache")}
    done = command(*RUN, "--results", folder / "results", env=given, cwd=folder)
    assert done.returncode == 0, done.stderr


def forget_results(stored):
    for path in (stored / "results").glob("*/fine_tuning-a.*"):
        path.unlink()
    for path in (stored / "results").glob("*/parts"):
        shutil.rmtree(path)


@pytest.mark.slow
def test_all_that_a_run_needs_is_used_and_stays(stored):
    written = files(stored)
    said = invoked("cache")
    assert "unused" not in said and "unfinished" not in said
    assert said.count("used by 1 result and") == 2  # both stages
    assert "there is nothing to remove" in invoked(*REMOVE, "--unused-for", "0d", "--unfinished")
    assert files(stored) == written


@pytest.mark.slow
def test_models_without_results_are_removed_and_computed_again_with_the_same_bits(stored):
    models = files(stored / "results" / "models")
    forget_results(stored)
    said = invoked("cache")
    assert "no result in" in said and "kept for now, since it was used lately" in said
    assert "there is nothing to remove" in invoked(*REMOVE)
    said = invoked(*REMOVE, "--unused-for", "0d")
    assert "removed 2 entries, 1" in said and not list((stored / "results" / "models").iterdir())
    run(stored)
    assert files(stored / "results" / "models") == models


@pytest.mark.slow
def test_shards_that_nobody_read_for_long_are_removed_and_made_again_with_the_same_bits(stored):
    shards, moment = files(stored / "cache" / "shards"), time.time() - 40 * 86400
    for path in (stored / "cache" / "shards").iterdir():
        os.utime(path, (moment, moment))
    shutil.rmtree(stored / "results")
    said = invoked(*REMOVE)
    assert "not used for 30 days" in said and f"removed {len(shards)} entries" in said
    assert list((stored / "cache" / "banks").glob("*.npy"))
    run(stored)
    assert files(stored / "cache" / "shards") == shards


@pytest.mark.slow
def test_a_model_that_a_running_process_holds_is_kept_and_said(stored):
    forget_results(stored)
    held = next((stored / "results" / "models").glob("*-pretraining-*"))
    process = subprocess.Popen([sys.executable, "-c", HOLD, held], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    try:
        assert process.stdout.readline() == "held\n"
        assert f"a run is using it (process {process.pid}, since" in invoked("cache")
        invoked(*REMOVE, "--unused-for", "0d")
        assert list(held.glob("round-*.npz")) and list(held.parent.glob("*-attack-*/round-*.npz"))  # of its data too
        assert "a run is using it" in refused(*REMOVE, held.name)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_unfinished_models_are_removed_only_when_asked_for(stored):
    forget_results(stored)
    attack = next((stored / "results" / "models").glob("*-attack-*"))
    (attack / "round-00002.npz").unlink()
    assert "unfinished" in invoked("cache") and "was trained from it" in invoked("cache")
    assert "there is nothing to remove" in invoked(*REMOVE, "--unused-for", "0d")
    assert "removed 1 entry" in invoked(*REMOVE, attack.name)
    assert not attack.exists() and list(attack.parent.glob("*-pretraining-*"))


def test_removal_asks_and_without_a_terminal_refuses(tmp_path):
    assert "there is no terminal to ask in: add --yes" in refused("cache", "--remove", "--cache-dir", tmp_path)


def test_an_empty_or_missing_cache_lists_nothing(tmp_path):
    given = ("--cache-dir", tmp_path / "none", "--results", tmp_path / "none")
    assert "nothing is stored" in invoked("cache", *given)
    assert "there is nothing to remove" in invoked(*REMOVE, *given)


def test_wrong_names_and_times_end_in_a_sentence(tmp_path):
    given = ("--cache-dir", tmp_path, "--results", tmp_path)
    assert "glyphs-9: nothing stored has this name" in refused("cache", "glyphs-9", *given)
    assert "is no time: give days or hours" in refused("cache", "--unused-for", "long", *given)


def test_what_may_not_be_removed_ends_in_a_sentence_and_the_rest_is_removed(tmp_path):
    paths = [tmp_path / folder / f"glyphs-{'0' * 20}.u8" for folder in ("pools", "shards")]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes(b"1234")
    paths[0].parent.chmod(0o555)
    paths[1].parent.chmod(0o777)
    reachable_by_all(tmp_path)
    given = ("--cache-dir", tmp_path, "--results", tmp_path / "none")
    with as_nobody():
        assert "of an older format" in invoked("cache", *given)
        said = refused(*REMOVE, "--unused-for", "0d", *given)
    paths[0].parent.chmod(0o755)
    assert "could not be removed (Permission denied)" in said and "removed 1 entry, 4 bytes" in said
    assert [path.exists() for path in paths] == [True, False]


@pytest.mark.slow
def test_the_command_loads_no_tensorflow_and_is_quick(before):
    code = (
        "import sys; from experiments.cli import main; main(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    )
    begun = sum(os.times()[2:4])  # of child processes
    done = subprocess.run(
        [sys.executable, "-c", code, "cache", "--results", before / "results", "--cache-dir", before / "cache"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert "tensorflow" not in done.stdout.split()
    assert sum(os.times()[2:4]) - begun < 5  # seconds of the processor; most of them import matplotlib
