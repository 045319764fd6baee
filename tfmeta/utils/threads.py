"""One thread an operation, as many operations at once as there are cores.

Episodes and tasks run side by side; TensorFlow's default (all cores in one operation) takes twice the time on
pictures this small (``make bench``). It also makes results independent of the number of cores.
"""

import logging
import os


def cores():
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0))


def side_by_side(workers=None):
    """Set TensorFlow's threads, which is possible only before its first operation; later it warns."""
    import tensorflow as tf

    wanted = workers or cores()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(wanted)
    except RuntimeError:
        now = (
            tf.config.threading.get_intra_op_parallelism_threads(),
            tf.config.threading.get_inter_op_parallelism_threads(),
        )
        if now != (1, wanted):
            logging.getLogger(__name__).warning(
                "TensorFlow already runs with %d threads an operation and %d operations at once (0: its default); "
                "tfmeta is about twice as fast with 1 and %d, and only with 1 thread an operation are results to the "
                "bit those of other runs. Import tfmeta's laboratory before TensorFlow's first operation.",
                *now, wanted,
            )  # fmt: skip
