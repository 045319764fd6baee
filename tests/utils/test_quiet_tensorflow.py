"""A silent start of TensorFlow that hides no error."""

import os
import re
import sys

import pytest
from processes import python

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


def test_without_grep_an_import_is_not_filtered(noisy, tmp_path):
    (tmp_path / "empty").mkdir()
    done = python(IMPORT_NOISY, **noisy(KNOWN_NOISE), PATH=str(tmp_path / "empty"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "imported\n", KNOWN_NOISE)


@pytest.mark.parametrize("then", ["", "raise ImportError('libcudart is missing')"], ids=["imported", "failed"])
@pytest.mark.parametrize("grep", ["found", "missing", "broken"])
def test_an_import_leaves_no_file_open(noisy, tmp_path, grep, then):
    variables = noisy(KNOWN_NOISE, then)
    if grep != "found":
        variables["PATH"] = str(tmp_path / "bin")
        (tmp_path / "bin").mkdir()
    if grep == "broken":
        (tmp_path / "bin" / "grep").write_text("#!/nowhere/sh\n")
        (tmp_path / "bin" / "grep").chmod(0o755)
    code = """
        import contextlib, os
        from tfmeta.utils.progress import quiet_tensorflow
        before = os.listdir("/proc/self/fd")
        with contextlib.suppress(ImportError, FileNotFoundError):
            quiet_tensorflow("noisy")
        print(os.listdir("/proc/self/fd") == before)
    """
    assert python(code, **variables).stdout == "True\n"


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
