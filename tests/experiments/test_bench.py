"""The benchmark: how turns are taken, and that every ratio is of contenders that there are."""

import contextlib
import re
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
    assert ratios["time of a naive loop / of the core"] == 3.0


def test_the_table_says_which_bounds_are_met(monkeypatch, tmp_path, capsys):
    ratios = dict(zip(table._RATIOS, (1.7, 1.2, 1.21, 1.31, 0.59), strict=True))
    monkeypatch.setattr(table, "_contenders", lambda *_: {})
    monkeypatch.setattr(table, "_document", lambda best: {"ratios": ratios, "episodes per second": {"core": 7.0}})
    table.main(tmp_path)
    _, *rows, title, core, _, _, _ = (re.split("  +", line.strip()) for line in capsys.readouterr().out.splitlines())
    missed = "missed on this machine"
    assert [row[2:] for row in rows] == [
        ["at least 1.70", "met"], ["at most 1.20", "met"], ["at most 1.20", missed], ["at most 1.30", missed],
        ["at least 0.60", missed],
    ]  # fmt: skip
    assert (title, core) == (["episodes per second"], ["core", "7.00"])
