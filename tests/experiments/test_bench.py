"""The benchmark: how turns are taken, and that every ratio is of contenders that there are."""

import contextlib
import time

import pytest

from experiments.bench import table


def test_the_best_turn_counts_and_the_first_does_not(monkeypatch):
    seconds = iter([0.0, 0.06, 0.03, 0.09])
    monkeypatch.setattr(table, "TURNS", 3)
    best = table._best({"one": lambda: lambda: time.sleep(next(seconds))})
    assert 0.03 <= best["one"] < 0.06


def test_no_turn_begins_that_would_end_after_the_budget(monkeypatch):
    monkeypatch.setattr(table, "BUDGET", 0.5)
    calls = []
    table._best({"one": lambda: lambda: (calls.append(1), time.sleep(0.2))})
    assert len(calls) == 2  # the first, which does not count, and one turn; a second would end after 0.6 s


@pytest.mark.slow
def test_every_ratio_is_of_contenders_that_there_are(tmp_path):
    with contextlib.ExitStack() as stack:
        names = list(table._contenders(tmp_path, tmp_path, stack))
    ratios = next(iter(table._document(dict.fromkeys(names, 3.0)).values()))
    assert list(ratios) == list(table._RATIOS)
    assert ratios["time of a naive loop / of the core (at least 1.70)"] == 3.0
