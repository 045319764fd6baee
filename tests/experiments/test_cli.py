"""The command line: wrong words are refused in one sentence before anything is computed; signals end it in order."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import experiments
import figures
import tfmeta
from experiments import appendix, cli, matching
from experiments.cli import main
from tfmeta.config import fields, make_config
from tfmeta.config.fields import LARGEST_SEED, allowed
from tfmeta.datasets import opening
from tfmeta.errors import ConfigError

ROOT = Path(tfmeta.__file__).parents[1]


def command(*words, **options):
    """Run `python -m tfmeta` in a process of its own, which also finds this checkout from other folders."""
    given = {"capture_output": True, "text": True, "timeout": 120, "stdin": subprocess.DEVNULL, **options}
    given["env"] = {**os.environ, "PYTHONPATH": str(ROOT), **given.get("env", {})}
    return subprocess.run([sys.executable, "-m", "tfmeta", *map(str, words)], **given)


def invoked(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def refused(*words):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code != 0
    assert "Traceback" not in result.output and isinstance(result.exception, SystemExit)
    return result.output


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


@pytest.mark.parametrize("profile", ["smoke", "paper"])
def test_config_is_a_table_of_every_field_in_100_columns(profile):
    output = invoked("config", "--profile", profile)
    assert max(map(len, output.splitlines())) <= 100
    assert output.startswith(f"Omniglot, profile {profile}\n")
    names = re.findall(r"^(\w+) +\S", output, re.M)[1:]  # without the heading
    assert names == [name.partition(".")[2] for name in fields()]
    for word in ("ledger 16", "lambda in the", "defence: ", "true or false"):
        assert word in output
    whole = {word for field in fields().values() for word in f"{field.metadata['doc']} {allowed(field)}".split()}
    assert not {word.rstrip(";") for word in whole} - {word.rstrip(";") for word in output.split()}
    assert re.sub(r"\s+", " ", output).count("the gates alpha in the") == 1


def test_config_names_the_data_set_and_says_when_nothing_differs():
    output = invoked("config", "--profile", "paper", "--dataset", "glyphs", "--changed")
    assert output == (
        "glyphs (drawn from fonts: a stand-in, not Omniglot), profile paper\n\nnothing differs from the paper's setting\n"
    )


def test_config_changed_prints_only_what_differs_from_the_papers_profile():
    changed = re.findall(r"^(\w+) +\d[^(]*\(paper: (\S+)\)", invoked("config", "--profile", "quick", "--changed"), re.M)
    paper, quick = (make_config("omniglot", profile) for profile in ("paper", "quick"))
    assert changed == [(n.partition(".")[2], f"{paper[n]:g}") for n in fields() if paper[n] != quick[n]]
    own = invoked("config", "--profile", "paper", "--changed", "--set", "delta=0.5")
    assert re.findall(r"^(\w+) ", own, re.M) == ["name", "delta"]


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
