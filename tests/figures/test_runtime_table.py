"""The table of section B: what was measured and what was extrapolated, beside the paper's minutes."""

import csv

import pytest

from experiments import runtime
from figures import FIGURES
from tfmeta.errors import ResultError
from tfmeta.store import results


def test_what_is_not_run_to_its_end_is_extrapolated():
    calls = []

    def run(number, size):
        calls.append((number, size))
        return size

    whole = runtime._timed("poisoning", "episodes", 60, run, 20, 5, 60)
    assert calls == [(0, 5), (0, 5), (0, 20), (20, 20), (40, 20)]  # small ones that trace, then those that count
    assert (whole["done"], whole["total"], whole["extrapolated"]) == (60, 60, False)
    assert whole["minutes"] == pytest.approx(whole["seconds"] / 60)
    part = runtime._timed("poisoning", "episodes", 10**9, run, 20, 5, 0.05)
    assert part["extrapolated"] and 0 < part["done"] < 10**9
    assert part["minutes"] == pytest.approx(part["seconds"] * 10**9 / part["done"] / 60)
    more = runtime._timed("poisoning", "episodes", 30, run, 20, 5, 60)  # 40 were done
    assert (more["done"], more["extrapolated"]) == (30, False)
    assert more["minutes"] == pytest.approx(more["seconds"] * 30 / 40 / 60)


@pytest.mark.parametrize(("steps", "expected"), [(500, (50,)), (200, (25, 50)), (50, (10, 20, 30, 40, 50))])
def test_measuring_has_its_share_of_a_part_of_fine_tuning(steps, expected):
    assert runtime._points(steps, 50) == expected


def parts():
    units = {"name": "pre-training", "title": "pre-training", "unit": "episodes per user", "paper_minutes": 250}
    return [
        {**units, "done": 100, "total": 100, "seconds": 6.0, "minutes": 0.1, "extrapolated": False},
        {**units, "done": 5, "total": 5000, "seconds": 6.0, "minutes": 100.0, "extrapolated": True},
    ]


def write(folder, make_document, measured):
    document = make_document("runtime", "a", "glyphs", "quick", [], measurements=measured)
    results.write(folder, document, {})


def test_the_table_marks_what_is_extrapolated(make_document, tmp_path):
    folder = tmp_path / "glyphs-quick"
    write(folder, make_document, {"parts": parts(), "cores": 2, "runtime": "tff"})
    markdown, table = FIGURES["runtime-omniglot"].draw(folder, tmp_path / "out")
    text = markdown.read_text()
    assert "glyphs (drawn from fonts: a stand-in, not Omniglot); profile quick (reduced" in text and "2 cores" in text
    assert "| pre-training | 100 episodes per user | 0.1 | measured | about 250 |" in text
    assert "| pre-training | 5000 episodes per user | 100 | EXTRAPOLATED from 5 in 6 s | about 250 |" in text
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["extrapolated"] for row in rows] == ["False", "True"] and rows[1]["minutes"] == "100.0"


def test_a_document_without_run_times_is_named(make_document, tmp_path):
    folder = tmp_path / "glyphs-quick"
    write(folder, make_document, {})
    with pytest.raises(ResultError, match=r"runtime-a\.json holds no run times"):
        FIGURES["runtime-omniglot"].draw(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
