"""What is not ours stays as it is and changes nothing; what is in the place of our files never ends in a traceback."""

import contextlib
import os
import random
import shutil
import subprocess
import sys

import pytest
from kinds import ATTACKED, KINDS, Outcome, chosen, remove
from places import Running, assert_same, at_once

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]
NOBODY = 65534
STRAYS = {
    "results": ("notes.txt", "glyphs-smoke-copy/fine_tuning-a.json"),
    "results/glyphs-smoke*": ("fine_tuning-d.json", "fine_tuning-a.json.bak", "notes.npz", ".lock.old"),
    "results/glyphs-smoke*/parts": ("unknown-round0001.npz", "unknown-round000x-meta-test-fine_tuning-20.npz"),
    "results/models": ("glyphs-attack-unknown-0123456789ab", "mine.npz"),
    "results/models/glyphs-*": ("round-x.npz", "round-.npz", "round-00002 (2).npz", "round-1e3.npz", "attacker-x.npz"),
    "cache": ("notes.txt",),
    "cache/banks": ("glyphs-0123456789abcdef.npy", "glyphs.json"),
    "cache/shards": ("glyphs-0123.u8", "mine-images-zzzz.u8", "notes.txt"),
    "out": ("mine.png",),
}


def _nothing(path):
    path.write_bytes(b"")


def _bytes(path):
    path.write_bytes(b"not ours \x00\xff")


def _folder(path):
    (path / "inside").mkdir(parents=True)


def _dangling(path):
    path.symlink_to("nowhere")


def _loop(path):
    path.symlink_to(path.name)


def _pipe(path):
    os.mkfifo(path)


SHAPES = {function.__name__[1:]: function for function in (_nothing, _bytes, _folder, _dangling, _loop, _pipe)}


@pytest.mark.parametrize("shape", SHAPES)
def test_files_that_are_not_ours_change_nothing(shape, both, tmp_path, chance):
    """The model that is trained last is trained again among them."""
    reference = both[runtime := chance.choice(sorted(both))][0]
    place = reference.copy(tmp_path / runtime)
    remove(place, ATTACKED)
    strays = [
        folder / name for pattern, names in STRAYS.items() for folder in place.folder.glob(pattern) for name in names
    ]
    for path in strays:
        path.parent.mkdir(exist_ok=True)
        SHAPES[shape](path)
    before = [path.lstat() for path in strays]
    ended = place.run()
    after = [path.lstat() if os.path.lexists(path) else None for path in strays]
    lost = [path for path, one, other in zip(strays, before, after, strict=True) if one != other]
    assert not lost, f"these changed or are gone: {lost}"
    for path in strays:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    with contextlib.suppress(OSError):
        (place.folder / "results/glyphs-smoke-copy").rmdir()
    assert_same(place, reference, ended)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_something_else_in_the_place_of_a_file_is_named_or_replaced(kind, both, tmp_path, chance):
    runtime = "tff" if kind.name == "worker's log" else chance.choice(sorted(both))
    shapes = chance.sample(sorted(SHAPES.keys() - {"nothing", "bytes"}), 2)
    seed = chance.random()
    print(f"{kind.name}, runtime {runtime}")
    at_once(lambda shape: _check(both[runtime][0], kind, tmp_path, f"{seed} {shape}", shape), shapes)


def _check(reference, kind, folder, seed, shape):
    chance, place = random.Random(seed), reference.copy(folder / shape)
    name = chosen(kind, place, chance)
    (place.folder / name).unlink()
    SHAPES[shape](place.folder / name)
    ended = place.run()
    if ended.code:
        assert "Error: " in ended.output, ended.output
        assert (place.folder / name).stem in ended.output, f"{name} as {shape}: not named: {ended.output}"
    else:
        # what nobody reads may stay as it is, and a folder or pipe in its place
        but = [name, f"{name}/inside"] if kind.outcome is Outcome.UNREAD else []
        assert_same(place, reference, ended, but)


@pytest.fixture
def as_nobody(tmp_path):
    """The words that run a command as another user; skips where that is impossible."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    words = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    tried = subprocess.run([*words, sys.executable, "-c", "import tfmeta"], cwd=tmp_path, capture_output=True)
    if tried.returncode:
        pytest.skip("another user cannot read this environment")
    return words


def test_a_cache_of_another_user_is_read(as_nobody, both, tmp_path):
    """It is complete and cannot be written; another user's temporary file in it stays."""
    reference = both["inprocess"][0]
    place = reference.copy(tmp_path / "place", only=["cache"])
    leftover = place.folder / "cache/shards/.glyphs-0123.u8.999999999.01234567.tfmeta-tmp"
    leftover.write_bytes(b"half")
    ended = _run_as(as_nobody, place)
    leftover.unlink()
    assert_same(place, reference, ended)


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.outcome in (Outcome.AGAIN, Outcome.REFUSED)], ids=lambda kind: kind.name
)
def test_an_unreadable_file_is_named(kind, as_nobody, both, tmp_path, chance):
    reference = both["inprocess"][0]
    place = reference.copy(tmp_path / "place")
    name = chosen(kind, place, chance)
    (place.folder / name).chmod(0)
    ended = _run_as(as_nobody, place, but=place.folder / name)
    assert (place.folder / name).stem in ended.output, ended.output
    if ended.code:
        assert "Error: " in ended.output
    else:
        assert_same(place, reference, ended)


def _run_as(user, place, but=None):
    for path in (place.folder, *place.folder.rglob("*")):
        if "cache" not in path.parts and path != but:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    log = place.folder / "output.log"
    return Running([*user, *place.words()], place.environment() | {"HOME": str(place.folder / "tmp")}, log).ended()
