"""How a command starts: which data sets it opens, what it says first, and which experiment it finds by name."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import invoked, refused

import experiments
import tfmeta
from experiments import appendix, cli, matching
from tfmeta.config.fields import LARGEST_SEED
from tfmeta.datasets import opening
from tfmeta.errors import ConfigError


@pytest.mark.parametrize(
    ("dataset", "names", "opened"),
    [
        ("glyphs-color", ("fig6", "fig-delta"), ["glyphs-color"]),
        ("auto", ("fig6", "fig-delta", "fig1"), ["mini-imagenet", "omniglot"]),
    ],
)
def test_each_data_set_is_opened_once_and_before_the_first_run(dataset, names, opened, monkeypatch):
    done = []
    monkeypatch.setattr(cli, "_simulation", lambda given, name: contextlib.nullcontext(done.append(name)))

    def run(*_):
        done.append("run")
        raise ConfigError("the first run has begun")

    monkeypatch.setattr(experiments, "run", run)
    monkeypatch.setattr(cli.size, "check", lambda *_: None)  # there is nothing to estimate
    assert "the first run has begun" in refused("figure", *names, "--dataset", dataset)
    assert done == [*opened, "run"]


def test_data_that_are_missing_are_refused_before_another_data_set_runs(glyphs_bank, monkeypatch, tmp_path):
    def available(name, *_):
        if name == "mini-imagenet":
            raise ConfigError("no real mini-ImageNet")
        return "glyphs"

    monkeypatch.setattr(opening, "_available", available)
    words = ("--profile", "smoke", "--results", tmp_path / "results", "--out", tmp_path / "out")
    assert refused("figure", "fig1", "fig2", *words).endswith("Error: no real mini-ImageNet\n")
    assert not list(tmp_path.iterdir())


def test_a_run_says_first_where_its_results_go(glyphs_bank, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    output = invoked("run", "illustration", "--profile", "smoke", "--dataset", "glyphs", "--set", "delta=0.5")
    assert output.splitlines()[1:] == [
        "profile smoke; results go to results/glyphs-smoke-delta=0.5",
        "results/glyphs-smoke-delta=0.5/illustration-a.json",
    ]


def test_two_experiments_of_one_name_are_refused(monkeypatch):
    monkeypatch.setattr(matching, "NAMES", {"fine_tuning": ("a",)})
    with pytest.raises(ConfigError, match=r"fine_tuning\.py and matching\.py both define the experiment fine_tuning"):
        experiments.modules.__wrapped__()


@pytest.mark.parametrize(("own", "seed"), [(0, 1), (7, 8), (LARGEST_SEED, 0)])
def test_figure_a5_has_other_tasks_whatever_the_runs_task_seed(own, seed, glyphs_bank, monkeypatch, tmp_path):
    monkeypatch.setattr(appendix, "result", lambda variant, *_: variant.config.evaluation.task_seed)
    sim = tfmeta.Simulation("glyphs", "smoke", results=tmp_path, task_seed=own)
    assert experiments.run("figA5", sim, "a") == seed


def first_line(process):
    """Wait until Python runs the first line of ours, after which no moment is too early: until it handles SIGTERM."""
    while not int(re.search(r"SigCgt:\t(\w+)", Path(f"/proc/{process.pid}/status").read_text())[1], 16) & 1 << 14:
        time.sleep(0.001)


@pytest.mark.slow
def test_ctrl_c_at_any_moment_of_a_start_ends_it_without_a_traceback():
    root, codes = Path(__file__).parents[2], []
    for tenths in range(12):
        process = subprocess.Popen(
            [sys.executable, "-m", "tfmeta", "config"], cwd=root, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        first_line(process)
        time.sleep(tenths / 20)
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert errors in ("", "interrupted\n")
        codes.append(process.returncode)
    assert codes[0] == 130 and set(codes) <= {130, 0, -signal.SIGINT}  # done before, or Python itself was at its end
