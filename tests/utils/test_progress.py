"""Progress bars, log lines, and a silent start that hides no error."""

import logging
import os
import pty
import re
import subprocess
import sys
import termios
import textwrap

import pytest

from tfmeta.utils import progress

# What TensorFlow's GPU build prints when it is imported on a healthy machine, and what a sick one says.
KNOWN_NOISE = """\
2023-10-10 10:00:00.000000: E tensorflow/compiler/xla/stream_executor/cuda/cuda_dnn.cc:9342] Unable to register \
cuDNN factory: Attempting to register factory for plugin cuDNN when one has already been registered
2023-10-10 10:00:00.000000: E tensorflow/compiler/xla/stream_executor/cuda/cuda_fft.cc:609] Unable to register \
cuFFT factory: Attempting to register factory for plugin cuFFT when one has already been registered
2023-10-10 10:00:00.000000: E tensorflow/compiler/xla/stream_executor/cuda/cuda_blas.cc:1518] Unable to register \
cuBLAS factory: Attempting to register factory for plugin cuBLAS when one has already been registered
2023-10-10 10:00:00.000000: W tensorflow/compiler/tf2tensorrt/utils/py_utils.cc:38] TF-TRT Warning: Could not find \
TensorRT
"""
REAL_ERROR = (
    "2023-10-10 10:00:00.000000: E tensorflow/compiler/xla/stream_executor/cuda/cuda_driver.cc:268] "
    "failed call to cuInit: CUDA_ERROR_UNKNOWN: unknown error"
)


def python(code, *arguments, **environment):
    """Run code in a new process whose environment says nothing about TensorFlow's log."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "PYTHONWARN"))}
    return subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True, text=True, timeout=120, env={**kept, **environment},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports",
    [
        "quiet_tensorflow('tensorflow')",
        "quiet_tensorflow('tensorflow_federated')",
        "quiet_tensorflow(); import tensorflow_federated",
    ],
)
def test_an_import_of_tensorflow_leaves_the_screen_silent(imports):
    """And a log line comes once: absl, which TFF imports, has a handler of its own for the root logger."""
    done = python(
        f"""
        import logging
        from tfmeta.utils.progress import quiet_tensorflow, setup_logging
        setup_logging()
        {imports}
        import tensorflow as tf
        print(float(tf.reduce_sum(tf.ones([3, 3]))))
        logging.getLogger("tfmeta").info("once")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "9.0\n", "once\n")


@pytest.mark.slow
def test_without_quiet_tensorflow_the_screen_is_not_silent():
    """The test above would be empty if TensorFlow had nothing to say."""
    done = python("import tensorflow_federated")
    assert "pkg_resources is deprecated" in done.stderr


@pytest.mark.slow
def test_a_real_error_of_tensorflows_cpp_is_visible():
    """A server on a port that is taken: TensorFlow's C++ logs an error, Python raises one."""
    done = python(
        """
        from tfmeta.utils.progress import quiet_tensorflow
        quiet_tensorflow("tensorflow")
        import socket
        import tensorflow as tf
        taken = socket.socket()
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        tf.distribute.Server({"w": [f"127.0.0.1:{taken.getsockname()[1]}"]}, job_name="w", task_index=0)
        """
    )
    assert done.returncode == 1
    assert re.search(r": E tensorflow/core/.*Could not start gRPC server", done.stderr), done.stderr
    assert "tensorflow.python.framework.errors_impl.UnknownError" in done.stderr


@pytest.fixture
def noisy(tmp_path):
    """Return a function that makes a module whose import writes to file descriptor 2 as C++ does."""

    def make(text, then=""):
        code = f"import os\nos.write(2, {text.encode()!r})\n{then}\n"
        (tmp_path / "noisy.py").write_text(code)
        return {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}

    return make


IMPORT_NOISY = "from tfmeta.utils.progress import quiet_tensorflow; quiet_tensorflow('noisy'); print('imported')"


def test_only_known_noise_is_dropped(noisy):
    done = python(IMPORT_NOISY, **noisy(KNOWN_NOISE + REAL_ERROR + "\n" + KNOWN_NOISE + "no newline at the end"))
    assert done.stdout == "imported\n"
    assert done.stderr.splitlines() == [REAL_ERROR, "no newline at the end"]


def test_noise_larger_than_a_pipe_does_not_hang(noisy):
    done = python(IMPORT_NOISY, **noisy(KNOWN_NOISE * 2000))
    assert (done.stdout, done.stderr) == ("imported\n", "")


@pytest.mark.parametrize(
    ("then", "code", "words"),
    [
        ("raise ImportError('libcudart is missing')", 1, "ImportError: libcudart is missing"),
        ("os.abort()", -6, REAL_ERROR),
        ("import warnings; warnings.warn('beware')", 0, "UserWarning: beware"),
    ],
    ids=["exception", "crash", "warning"],
)
def test_what_goes_wrong_in_an_import_is_visible(noisy, then, code, words):
    done = python(IMPORT_NOISY, **noisy(KNOWN_NOISE + REAL_ERROR + "\n", then))
    assert done.returncode == code
    assert words in done.stderr and REAL_ERROR in done.stderr and "cuDNN" not in done.stderr


def test_standard_error_is_as_before(noisy):
    code = (
        IMPORT_NOISY + "; import os; os.write(2, b'Unable to register cuDNN factory: Attempting to register factory')"
    )
    done = python(code, **noisy(KNOWN_NOISE))
    assert done.stderr.startswith("Unable to register cuDNN")  # the filter is for the import alone


def test_a_users_own_log_level_is_kept():
    done = python(
        "from tfmeta.utils.progress import quiet_tensorflow; quiet_tensorflow(); "
        "import os; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])",
        TF_CPP_MIN_LOG_LEVEL="0",
    )
    assert done.stdout == "0\n"


STAGE = """
from tfmeta.utils import progress
progress.setup_logging()
with progress.bar(40, "pre-training", "episode", initial=10) as stage:
    for _ in range(3):
        stage.update(10)
"""
COUNT = r"\[\d\d:\d\d<(\d\d:\d\d|\?), +([\d.]+|\?) ?episodes/s\]"


def test_without_a_terminal_a_stage_logs_its_start_and_end():
    first, last = python(STAGE).stderr.splitlines()
    assert re.fullmatch("pre-training: 10/40 episodes " + COUNT, first), first
    assert re.fullmatch("pre-training: 40/40 episodes " + COUNT, last), last


def test_without_a_terminal_a_failed_stage_logs_how_far_it_came():
    failed = python(STAGE.replace("stage.update(10)", "stage.update(10); raise KeyError"))
    assert re.search("^pre-training: 20/40 episodes " + COUNT + "$", failed.stderr, re.M), failed.stderr


def test_without_a_terminal_a_long_stage_logs_a_line_at_intervals():
    long = STAGE.replace("initial=10", "initial=10, every=0.5")
    long = long.replace("range(3)", "range(15)").replace("update(10)", "update(2); import time; time.sleep(0.1)")
    counts = [int(line.split("/")[0].split()[-1]) for line in python(long).stderr.splitlines()]
    assert counts[0] == 10 and counts[-1] == 40 and 3 <= len(counts) <= 5 and counts == sorted(set(counts))


def test_without_a_terminal_words_after_the_count_make_no_line_of_their_own():
    code = STAGE.replace("stage.update(10)", "stage.set_postfix(loss='1.5'); stage.update(10)")
    lines = python(code).stderr.splitlines()
    assert len(lines) == 2 and lines[1].endswith(", loss=1.5]")


def test_a_stage_that_an_earlier_run_did_shows_nothing():
    done = STAGE.replace("initial=10", "initial=40").replace("stage.update(10)", "stage.set_postfix(loss='1')")
    assert python(done).stderr == "" and on_a_terminal(done) == ""


@pytest.mark.parametrize(
    ("number", "unit", "words"),
    [(1, "round", "round"), (0, "round", "rounds"), (3, "set of tasks", "sets of tasks")],
)
def test_a_unit_has_its_plural(number, unit, words):
    assert progress.plural(number, unit) == words


def on_a_terminal(code, columns=80):
    """Return what a process writes whose standard error is a terminal."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, columns))
    with subprocess.Popen([sys.executable, "-B", "-c", code], stderr=its) as process:
        os.close(its)
        seen = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            seen += part
    os.close(ours)
    assert process.returncode == 0, seen
    return seen.decode()


@pytest.mark.parametrize("columns", [80, 0], ids=["80 columns", "a terminal that does not know its size"])
def test_on_a_terminal_a_bar_shows_count_rate_and_time_left(columns):
    slow = STAGE.replace("stage.update(10)", "stage.update(10); import time; time.sleep(0.2)")
    seen = on_a_terminal(slow + "\nimport logging\nlogging.getLogger('tfmeta').info('a line')\n", columns)
    assert re.search(r"pre-training: +100%\|█+\| 40/40 episodes " + COUNT, seen), seen
    assert "a line" in seen


def test_a_log_line_does_not_tear_the_bar():
    seen = on_a_terminal(
        STAGE.replace("stage.update(10)", "import logging; logging.getLogger('tfmeta').info('a line')")
    )
    lines = [line.rpartition("\r")[2] for line in seen.replace("\r\n", "\n").split("\n")]
    assert lines.count("a line") == 3, seen


LOG = """
import logging, sys
from tfmeta.utils import progress
progress.setup_logging(bool(sys.argv[1:]))
progress.setup_logging(bool(sys.argv[1:]))
for name in ("tfmeta.federated.rounds", "experiments.measured", "another.library"):
    for level in ("debug", "info", "warning"):
        getattr(logging.getLogger(name), level)(f"{name} {level}")
"""


@pytest.mark.parametrize(("words", "shown"), [((), ("info",)), (("verbose",), ("debug", "info"))])
def test_tfmeta_logs_what_it_does_and_other_libraries_warnings(words, shown):
    expected = []
    for name in ("tfmeta.federated.rounds", "experiments.measured"):
        expected += [f"{name} {level}" for level in shown] + [f"warning: {name} warning"]
    assert python(LOG, *words).stderr.splitlines() == [*expected, "warning: another.library warning"]


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(143)])
def test_a_signal_before_the_lock_is_taken_is_not_lost_in_a_log_line(end, monkeypatch, capsys):
    class Signalled(progress._Lock):
        def acquire(self):
            raise end

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((80, 24)))
    monkeypatch.setattr(sys.stderr, "fileno", lambda: 2, raising=False)
    with progress.bar(2, "a stage", "step"):
        with monkeypatch.context() as signalled:
            signalled.setattr(progress.Bar, "_lock", Signalled())
            with pytest.raises(type(end)) as caught:
                logging.getLogger().error("a line")
    assert caught.value is end


def test_bars_need_no_import_and_no_thread_of_their_own():
    found = "threading.active_count(), 'multiprocessing' in sys.modules"
    seen = on_a_terminal(f"{STAGE}\nimport sys, threading; print({found}, file=sys.stderr)\n")
    assert seen.splitlines()[-1] == "1 False"
