"""One thread per operation, and as many operations at once as there are cores.

Episodes and tasks run side by side. TensorFlow's default, all cores in one operation, takes twice the time on images
this small (`make bench`). One thread per operation also makes results independent of the number of cores.
"""

import logging
import os


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


def side_by_side(workers: int | None = None) -> None:
    """Set TensorFlow's threads. This is possible only before its first operation; later, log a warning.

    Args:
        workers: How many operations run at once; by default one per core.
    """
    import tensorflow as tf

    threading, wanted = tf.config.threading, workers or cores()
    try:
        threading.set_intra_op_parallelism_threads(1)
        threading.set_inter_op_parallelism_threads(wanted)
    except RuntimeError:
        # 0 stands for TensorFlow's default: what the environment says, and one operation per core
        each = threading.get_intra_op_parallelism_threads() or int(os.environ.get("TF_NUM_INTRAOP_THREADS", "0"))
        now = each, threading.get_inter_op_parallelism_threads() or cores()
        if now != (1, wanted):
            logging.getLogger(__name__).warning(
                "TensorFlow already runs with %d threads per operation and %d operations at once (0: its default); "
                "tfmeta is about twice as fast with 1 and %d, and its results are bit-identical to those of other runs "
                "only with 1 thread per operation. Create the Simulation before the first TensorFlow operation.",
                *now, wanted,
            )  # fmt: skip
