"""The command line: what is wrong is said in one line that names it, before anything is computed."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from experiments.cli import main


@pytest.fixture(autouse=True)
def _signals_as_before():
    """A command in this process sets its own, and an end of the tests would be taken for one of a test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def refused(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code != 0
    assert "Traceback" not in result.output
    return result.output


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("run", "nonsense"), "nonsense"),
        (("run", "fine_tuning", "--case", "d"), "'d'"),
        (("run", "fine_tuning", "--profile", "huge"), "huge"),
        (("run", "fine_tuning", "--dataset", "mnist"), "mnist"),
        (("figure", "fig99"), "fig99"),
        (("run", "fine_tuning", "--set", "epsilon=1", "--dataset", "glyphs"), "epsilon"),
        (("run", "fine_tuning", "--set", "eta", "--dataset", "glyphs"), "field=value"),
        (("run", "fine_tuning", "--set", "meta_step_size_initial=0", "--dataset", "glyphs"), "epsilon_initial"),
        (("run", "fine_tuning", "--set", "meta_step_size_initial=2", "--dataset", "glyphs"), "at most 1"),
        (("run", "fine_tuning", "--set", "tasks=ten", "--dataset", "glyphs"), "whole number"),
        (("config", "--set", "lambda=-1"), "lambda"),
    ],
)
def test_wrong_words_are_named(words, named):
    assert named in refused(*words)


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        (("shots=12", "target_shots=8"), "10 pictures"),
        (("ways=500",), "418 classes"),
        (("trigger_size=40",), "28x28"),
        (("trigger_color=red-cyan",), "white-black"),
        (("task_shots=11",), "10 pictures"),
    ],
)
def test_more_than_there_is(setting, named, glyphs_bank, tmp_path):
    settings = [word for value in setting for word in ("--set", value)]
    assert named in refused("run", "fine_tuning", "--dataset", "glyphs", "--results", tmp_path, *settings)
    assert not list(tmp_path.iterdir())


def test_config_explains_every_field():
    output = CliRunner().invoke(main, ["config", "--profile", "paper"]).output
    assert "lambda_" in output
    assert "ledger 16" in output


@contextlib.contextmanager
def making_a_bank(cache, *before):
    """Start `tfmeta data` on pictures that take seconds to draw; yield it once it has begun to."""
    process = subprocess.Popen(
        [*before, sys.executable, "-m", "experiments.cli", "data", "--dataset", "glyphs-color"],
        env={**os.environ, "TFMETA_CACHE": str(cache)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not list(cache.rglob(".*.tfmeta-tmp")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()  # where the test failed; it would draw on


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_end_from_outside_leaves_nothing_half_made(tmp_path, end):
    with making_a_bank(tmp_path) as process:
        os.killpg(process.pid, end)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == (1 if end == signal.SIGINT else 128 + end)  # click's own for Ctrl-C
    assert "Traceback" not in output
    assert not [path for path in tmp_path.rglob("*glyphs-color*") if path.suffix != ".lock"]


def test_nohup_outlives_its_terminal(tmp_path):
    with making_a_bank(tmp_path, "nohup") as process:
        os.killpg(process.pid, signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.communicate(timeout=2)
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM


def test_importing_tfmeta_loads_neither_tensorflow_nor_tff():
    code = (
        "import sys, time; t = time.perf_counter(); import tfmeta, experiments.cli, tfmeta.config, tfmeta.datasets;"
        "heavy = {'tensorflow', 'tensorflow_federated', 'keras'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_federated_imports_tff():
    from pathlib import Path

    import tfmeta

    root = Path(tfmeta.__file__).parent
    sources = {path.relative_to(root): path.read_text() for path in root.rglob("*.py")}
    importers = {path.parts[0] for path, text in sources.items() if "import tensorflow_federated" in text}
    assert importers == {"federated"}


def test_one_dnn_is_on_in_this_process_and_in_what_it_starts():
    code = "import os, tfmeta; from tensorflow.python.framework import test_util; print(test_util.IsMklEnabled())"
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True)
    assert ran.stdout.split()[-1:] == ["True"], ran.stderr
