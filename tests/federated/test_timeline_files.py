"""Files in the folders of models: an attacker's trained weights, and those that are not ours."""

from pathlib import Path

import numpy as np
import pytest
from test_timeline import ATTACKED, Killed, Stoppable, contents, same

from tfmeta.errors import ResultError, StorageError
from tfmeta.store import npz, sealed

CALLS = 3 + 2 + 3 + 2  # pre-training, rounds 1 and 2, the attacker's chunks, rounds after


@pytest.fixture(scope="module")
def sim(tmp_path_factory):
    return Stoppable(tmp_path_factory)


def prepared(root):
    return sorted(root.rglob("*.f32"))


def test_the_attackers_weights_are_removed_once_they_are_used(sim, tmp_path):
    sim.run(tmp_path)
    assert not prepared(tmp_path)
    timeline = sim.timeline(tmp_path)
    for _ in range(2):
        (job, *others) = timeline.jobs(ATTACKED)  # for a user who runs the round; they are written again
        assert prepared(tmp_path) == [Path(job.prepared)] and not any(other.prepared for other in others)
        assert sealed.sealed(job.prepared) and sealed.intact(job.prepared)
    trained = npz.unpack(timeline.folder("attack") / "attacker.npz", "")[0]
    parts = [trained[f"weight{number:02d}"].ravel() for number in range(len(timeline.weights(0)))]
    assert np.array_equal(np.fromfile(job.prepared, "<f4"), np.concatenate(parts))
    federation = sim.federation
    state, _ = federation.next(federation.start(timeline.weights(ATTACKED - 1)), [job, *others])
    assert same(federation.weights(state), timeline.weights(ATTACKED))


@pytest.mark.parametrize("damage", [b"", b"flip", b"longer"])
def test_damaged_weights_of_the_attacker_are_written_again(sim, tmp_path, caplog, damage):
    sim.run(tmp_path, ATTACKED)
    path = Path(sim.timeline(tmp_path).jobs(ATTACKED)[0].prepared)
    whole = path.read_bytes()
    flipped = bytes([whole[0] ^ 4]) + whole[1:]
    path.write_bytes({b"": b"", b"flip": flipped, b"longer": whole + b"1234"}[damage])
    assert sim.timeline(tmp_path).jobs(ATTACKED)[0].prepared == str(path)
    assert path.read_bytes() == whole and f"{path} is damaged" in caplog.text


def test_what_a_kill_and_older_versions_left_of_the_attackers_weights_is_removed(sim, tmp_path):
    with pytest.raises(Killed):
        sim.run(tmp_path, stop_after=3 + 1 + 3)  # within the attack's round
    (left,) = prepared(tmp_path)
    for name in ("attacker.f32", f"attacker-{'0' * 20}.f32", "attacker-2-round-00004.f32"):
        left.with_name(name).write_bytes(left.read_bytes())
    left.with_name("my.f32").write_bytes(b"mine")
    sim.run(tmp_path)
    assert sim.calls == CALLS - 7 and prepared(tmp_path) == [left.with_name("my.f32")]


STRAY = ("round-x.npz", "round-00001.npz.bak", "round-1.npz", "notes.txt", "attacker-old.npz", "round-.npz")


def test_files_that_are_not_ours_are_left_alone(sim, tmp_path):
    plain, other = tmp_path / "plain", tmp_path / "other"
    sim.run(plain)
    with pytest.raises(Killed):
        sim.run(other, stop_after=1)
    for stage in ("pretraining", "attack", "rounds"):
        folder = sim.timeline(other).folder(stage)
        folder.mkdir(parents=True, exist_ok=True)
        for name in STRAY:
            (folder / name).write_bytes(b"mine")
        (folder / "round-y.npz").mkdir()
    sim.run(other)
    assert sim.calls == CALLS - 1
    strays = {path.name for path in other.rglob("*") if path.name.startswith("round-y") or path.name in STRAY}
    assert strays == {*STRAY, "round-y.npz"} and len(list(other.rglob("round-x.npz"))) == 3
    for path in [*other.rglob("*")]:
        if path.is_file() and path.name in STRAY:
            assert path.read_bytes() == b"mine"
            path.unlink()
    for path in [*other.rglob("round-y.npz")]:
        path.rmdir()
    assert contents(other) == contents(plain)


@pytest.mark.parametrize("name", ["round-00003.npz", "round-00002.npz", "round-00001.npz"])
def test_a_folder_in_the_place_of_a_checkpoint_is_named(sim, tmp_path, name):
    folder = sim.timeline(tmp_path).folder("pretraining")
    (folder / name).mkdir(parents=True)
    with pytest.raises((ResultError, StorageError), match=rf"{name}.*Is a directory"):
        sim.run(tmp_path, 0)
    assert (folder / name).is_dir()
