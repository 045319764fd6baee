"""The command line: wrong words are refused in one sentence before anything is computed; signals end it in order."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from command_line import ROOT, command, invoked, refused

import experiments
import figures
import tfmeta


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("run", "nonsense"), "nonsense"),
        (("run", "fine_tuning", "--case", "d"), "experiment fine_tuning: unknown case 'd': known: a, b, c"),
        (("run", "fig5"), "fig5 is a figure: draw it with `tfmeta figure fig5`"),
        (("figure", "fig5", "fine_tuning"), "fine_tuning is an experiment: run it with `tfmeta run fine_tuning`"),
        (("run", "fine_tuning", "--profile", "huge"), "huge"),
        (("run", "fine_tuning", "--dataset", "mnist"), "mnist"),
        (("figure", "fig99"), "fig99"),
        (("run", "fine_tuning", "--set", "gamma=1", "--dataset", "glyphs"), "gamma"),
        (("run", "fine_tuning", "--set", "delta", "--dataset", "glyphs"), "field=value"),
        (("run", "fine_tuning", "--set", "meta_step_size_initial=0"), "meta_step_size_initial"),
        (("run", "fine_tuning", "--set", "meta_step_size_initial=2"), "at most 1"),
        (("run", "fine_tuning", "--set", "tasks=ten", "--dataset", "glyphs"), "whole number"),
        (("run", "fine_tuning", "--set", "inner_steps=3"), "attack.inner_steps"),
        (("config", "--set", "lambda=-1"), "boost"),
        (("data", "--dataset", "mnist"), "mnist"),
    ],
)
def test_wrong_words_are_named(words, named):
    assert named in refused(*words)


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (("rnu",), "run"),
        (("run", "fine_tunning"), "fine_tuning"),
        (("run", "fine_tuning", "--profile", "quik"), "quick"),
        (("run", "fine_tuning", "--dataset", "omnigolt"), "omniglot"),
        (("run", "fine_tuning", "--set", "dleta=1"), "delta"),
        (("run", "fine_tuning", "--set", "aggregation=some"), "sum"),
        (("figure", "figA12"), "figA1"),
        (("figure", "ablation"), "ablations"),
        (("config", "--profle", "quick"), "--profile"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(words, nearest):
    assert nearest in refused(*words)


@pytest.mark.parametrize(
    "words",
    [
        ("run", "nonsense"),
        ("run", "fine_tuning", "--case", "d"),
        ("run", "fine_tuning", "--profile", "huge"),
        ("run", "fine_tuning", "--dataset", "mnist"),
        ("run", "fine_tuning", "--set", "gamma=1"),
        ("run", "fine_tuning", "--set", "mixed_layers=nonsense"),
        ("figure", "fig99"),
        ("figure", "fig5", "fig6", "--set", "shots=12"),
    ],
    ids=" ".join,
)
def test_wrong_words_are_refused_before_data_and_tensorflow(words, tmp_path):
    """Neither is touched, and the answer comes at once."""
    code = (
        "import sys; from experiments.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print({'tensorflow', 'tensorflow_federated', 'keras', 'matplotlib'} & set(sys.modules))"
    )
    environment = {**os.environ, "TFMETA_CACHE": str(tmp_path / "cache"), "TFMETA_DATA": str(tmp_path / "data")}
    begun = time.process_time(), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--results", str(tmp_path / "results")],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert time.monotonic() - begun[1] < 10  # 0.7 s on a quiet machine
    assert done.returncode == 1 and done.stdout == "set()\n", done.stdout
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        (("shots=12", "target_shots=8"), "10 images"),
        (("ways=500",), "418 classes"),
        (("trigger_size=40",), "28x28"),
        (("trigger_color=red-cyan",), "white-black"),
        (("task_shots=11",), "10 images"),
    ],
)
def test_more_than_the_data_set_has_is_refused(setting, named, glyphs_bank, tmp_path):
    settings = [word for value in setting for word in ("--set", value)]
    assert named in refused("run", "fine_tuning", "--dataset", "glyphs", "--results", tmp_path, *settings)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("profile", ["desk", "paper"])
def test_desk_and_paper_take_no_stand_in_for_auto(profile, tmp_path):
    unreachable = {"TFMETA_OMNIGLOT_URL": "http://127.0.0.1:9/", "TFMETA_CACHE": str(tmp_path / "cache")}
    done = command(
        "run", "illustration", "--profile", profile, "--data-dir", tmp_path, "--results", tmp_path / "results",
        env=unreachable,
    )  # fmt: skip
    assert done.returncode == 1 and done.stderr.startswith("Error: ")
    assert "Omniglot" in done.stderr and "glyphs" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists() and not list(tmp_path.rglob("*.npy"))


def test_python_m_tfmeta_prints_the_version():
    done = command("--version")
    assert done.returncode == 0 and done.stdout.split() == ["tfmeta,", "version", tfmeta.__version__]


def test_the_console_script_is_the_same_command():
    """Only this entry point sets how signals end a run."""
    assert '"tfmeta = tfmeta.__main__:main"' in (ROOT / "setup.py").read_text()


def test_help_lists_commands_experiments_and_figures_with_a_few_words():
    output = invoked("--help")
    for name in ("run", "figure", "data", "config", "bench", *experiments.modules(), *figures.FIGURES):
        assert re.search(rf"^  {re.escape(name)} +\w\w", output, re.M), name


@pytest.mark.parametrize("content", ["import nothing_that_exists", None], ids=["package", "folder"])
def test_folders_of_the_same_names_do_not_hide_ours(content, tmp_path):
    """Figures go to `figures/out` by default, so such a folder is in a reader's current folder sooner or later."""
    for name in ("experiments", "figures"):
        (tmp_path / name).mkdir()
        if content:
            (tmp_path / name / "__init__.py").write_text(content)
    done = command("figure", "fig99", cwd=tmp_path)
    assert done.stderr.startswith("Error: unknown figure 'fig99'")


def test_packages_that_hide_ours_are_named(tmp_path):
    for folder in ("figures", "elsewhere"):
        (tmp_path / folder).mkdir()
    (tmp_path / "figures" / "__init__.py").touch()
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = command("--version", cwd=tmp_path / "elsewhere", env={"PYTHONPATH": path})
    assert done.returncode == 1 and done.stderr.startswith(f"Error: {tmp_path / 'figures'} hides ")
    assert done.stderr.count("\n") == 1


def test_a_current_folder_that_was_deleted_is_named(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.executable, [sys.executable, '-m', 'tfmeta', 'config'])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=gone, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "Error: the current folder cannot be used (No such file or directory): change to one that exists\n"
    )


@contextlib.contextmanager
def making_a_bank(cache, *before):
    """Start `tfmeta data` on images that take seconds to draw; yield it once it has begun to."""
    process = subprocess.Popen(
        [*before, sys.executable, "-m", "tfmeta", "data", "--dataset", "glyphs-color"],
        env={**os.environ, "TFMETA_CACHE": str(cache)}, cwd=ROOT,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not list(cache.rglob(".*.tfmeta-tmp")):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()  # if the test failed, it would draw on


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_nothing_half_made(tmp_path, end):
    with making_a_bank(tmp_path) as process:
        os.killpg(process.pid, end)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + end
    assert "Traceback" not in output
    assert not [path for path in tmp_path.rglob("*glyphs-color*") if path.suffix != ".lock"]


@pytest.mark.slow
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
        "import sys, tfmeta, experiments.cli, tfmeta.config, tfmeta.datasets;"
        "heavy = {'tensorflow', 'tensorflow_federated', 'keras'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_only_federated_and_aggregations_import_tff():
    package = ROOT / "tfmeta"
    sources = {path.relative_to(package): path.read_text() for path in package.rglob("*.py")}
    importers = {path.parts[0] for path, text in sources.items() if "import tensorflow_federated" in text}
    assert importers == {"federated", "aggregations"}


@pytest.mark.slow
def test_one_dnn_is_on_in_this_process_and_in_what_it_starts():
    code = "import os, tfmeta; from tensorflow.python.framework import test_util; print(test_util.IsMklEnabled())"
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True)
    assert ran.stdout.split()[-1:] == ["True"], ran.stderr
