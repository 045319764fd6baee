"""A damaged file of each kind never changes a result in silence."""

import random

import pytest
from damage import DAMAGES, damage
from kinds import KINDS, Outcome, chosen, kinds_of
from places import assert_same, at_once

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
QUICK = ("bank array", "bank side file", "document", "per-task values")  # of `make test`


@pytest.mark.parametrize("runtime", ["tff", pytest.param("inprocess", marks=pytest.mark.faults)])
def test_every_stored_file_is_of_one_known_kind(runtime, undisturbed):
    """A new kind of file has to be added to kinds.py, where it says what a damaged one leads to."""
    wrong = {name: found for name in undisturbed(runtime).files() if len(found := kinds_of(name)) != 1}
    assert not wrong, f"these are of no kind in kinds.py, or of several: {wrong}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_there_are_files_of_each_kind(kind, undisturbed):
    assert any(kind.matches(name) for name in undisturbed("tff").files())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name in QUICK], ids=lambda kind: kind.name)
def test_a_flip_in_what_a_finished_run_reads_changes_no_result(kind, undisturbed, tmp_path, chance):
    _check(undisturbed("tff"), kind, tmp_path, chance.random(), False, "flip")


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_damaged_file_changes_no_result(kind, both, tmp_path, chance):
    """One damage of each kind, which the seed draws, is followed by what the refusal advises."""
    runtime = "tff" if kind.name == "worker's log" else chance.choice(sorted(both))
    seed, damages = chance.random(), sorted(DAMAGES)
    last = chance.choice(damages)
    print(f"{kind.name}, runtime {runtime}")
    if "lock" in kind.name:  # empty, so there is only one way to damage it
        damages = damages[:1]
    at_once(lambda how: _check(both[runtime][0], kind, tmp_path, f"{seed} {how}", how == last, how), damages)


def _check(reference, kind, folder, seed, to_the_end, how):
    """Damage one file of a kind in a copy of the reference, and give the command again."""
    chance, place = random.Random(seed), reference.copy(folder / how)
    name = chosen(kind, place, chance)
    damage(place.folder / name, how, chance)
    ended = place.run()
    try:
        _expect(kind.outcome, place, reference, name, ended)
        if kind.outcome is Outcome.REFUSED and to_the_end:
            (place.folder / name).unlink()
            if kind.beside:
                (place.folder / name).with_suffix(kind.beside).unlink()
            assert_same(place, reference, place.run())
    except AssertionError as error:
        raise AssertionError(f"{how} in {name}, which the command {kind.outcome.value}: {error}") from error


def _expect(outcome, place, reference, name, ended):
    named = (place.folder / name).stem in ended.output  # without suffix: a bank is an array and its side file
    if outcome is Outcome.REFUSED:
        assert ended.code == 1 and "Error: " in ended.output, f"no refusal (exit code {ended.code}): {ended.output}"
        assert named, f"the sentence does not name the file: {ended.output}"
        return
    assert_same(place, reference, ended, but=[name] if outcome is Outcome.UNREAD else [])
    if outcome is Outcome.AGAIN:
        assert named, f"no warning names the file: {ended.output}"
