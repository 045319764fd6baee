"""A command that is killed at any moment, and given again, stores what an undisturbed one stores."""

import os
import signal

import pytest
from places import Place, assert_same, at_once

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(1200)]
CHAINS = 4  # of kills, for each way to kill
# exit code of a command that a signal ends, and of one that was done before
EXPECTED = {signal.SIGKILL: 137, signal.SIGTERM: 143, signal.SIGINT: 130}
WAYS = {"kill -9": [signal.SIGKILL], "SIGTERM": [signal.SIGTERM], "Ctrl-C": [signal.SIGINT], "any": list(EXPECTED)}


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_run_that_is_given_again_stores_the_same(way, both, tmp_path, chance):
    """Each chain is up to three kills in a row, each at a random moment of the command's whole length."""
    chains = []
    for number in range(CHAINS):
        kills = [(chance.choice(WAYS[way]), chance.random()) for _ in range(chance.randint(1, 3))]
        chains.append((number, chance.choice(sorted(both)), chance.random() < 0.5, kills))
        print("chain, runtime, whether the cache is empty, kills (signal, share of the length):", chains[-1])
    at_once(lambda chain: _check(both, tmp_path, *chain), chains)


def _check(both, folder, number, runtime, fresh, kills):
    reference, length = both[runtime]
    place = Place(folder / str(number), runtime) if fresh else reference.copy(folder / str(number), only=["cache"])
    for number, moment in kills:
        _kill(place, number, moment * length)
    assert_same(place, reference, place.run())


def _kill(place, number, seconds):
    running = place.start()
    if running.wait_until(seconds):
        if number == signal.SIGINT:  # a terminal sends it to the whole group
            os.killpg(running.process.pid, number)
        else:
            running.process.send_signal(number)
    ended = running.ended(patience=60)
    assert ended.code in (EXPECTED[number], 0), f"exit code {ended.code} after {number.name} at {seconds:.2f} s"


@pytest.mark.parametrize("number", EXPECTED)
def test_a_kill_in_the_first_moments_says_nothing(number, both, tmp_path, chance):
    """Here Python starts and modules are imported: hardly any of our code runs, and none may print a traceback."""
    reference = both["inprocess"][0]
    place = reference.copy(tmp_path / "place")
    for _ in range(10):
        _kill(place, number, chance.uniform(0, 1.5))
    assert_same(place, reference, place.run())
