"""Threads can be set only before TensorFlow's first operation; later there is a warning and nothing changes."""

import logging
import os
import subprocess
import sys

import tensorflow as tf

from tfmeta.utils import threads


def test_setting_threads_after_the_first_operation_warns_and_changes_nothing(caplog):
    tf.constant(1) + 1
    threading = tf.config.threading
    now = (threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads())
    each, at_once = now[0] or 1, now[1] or threads.cores()  # 0: what the environment of the tests says, and all cores
    with caplog.at_level(logging.WARNING):
        threads.side_by_side(at_once + 5)
    assert f"{each} threads per operation and {at_once} operations at once" in caplog.text
    assert "bit-identical to those of other runs only with 1 thread per operation" in caplog.text
    assert threading.get_inter_op_parallelism_threads() == now[1]


def test_setting_threads_before_the_first_operation_gives_one_per_operation():
    code = (
        "import tensorflow as tf; from tfmeta.utils import threads; threads.side_by_side(3); tf.constant(1) + 1;"
        "threads.side_by_side(3);"
        "print(tf.config.threading.get_intra_op_parallelism_threads(),"
        "tf.config.threading.get_inter_op_parallelism_threads())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "3"] and "tfmeta is about twice" not in done.stderr


def test_a_model_may_be_built_before_the_simulation():
    """What TensorFlow reads from the environment when its first operation runs is one thread per operation."""
    code = (
        "import time, tfmeta, tensorflow as tf; from tfmeta.utils import threads; tf.constant(1) + 1;"
        "big = tf.random.uniform([1500, 1500]); tf.matmul(big, big);"
        "wall, used = time.monotonic(), time.process_time();"
        "[tf.matmul(big, big).numpy() for _ in range(8)];"
        "print((time.process_time() - used) / (time.monotonic() - wall)); threads.side_by_side()"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_NUM")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert float(done.stdout) < 1.3 and "tfmeta is about twice" not in done.stderr  # cores in use


def test_only_cores_that_the_process_may_use_count():
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        "from tfmeta.utils import threads; print(threads.cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
