"""Threads can be set only before TensorFlow's first operation; later there is a warning and nothing changes."""

import logging
import subprocess
import sys

import tensorflow as tf

from tfmeta.utils import threads


def test_setting_threads_after_the_first_operation_warns_and_changes_nothing(caplog):
    tf.constant(1) + 1
    threading = tf.config.threading
    now = (threading.get_intra_op_parallelism_threads(), threading.get_inter_op_parallelism_threads())
    with caplog.at_level(logging.WARNING):
        threads.side_by_side(now[1] + 5)
    assert f"{now[0]} threads per operation and {now[1]} operations at once" in caplog.text
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


def test_only_cores_that_the_process_may_use_count():
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        "from tfmeta.utils import threads; print(threads.cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
