"""The child that measures what wants all cores in one operation: the naive loop and the matrix product.

TensorFlow's threads are set once a process, so this needs one of its own. It answers each line
("naive", "matmul", "tasks") on standard input with seconds, and ends with its parent's end of the pipe.
"""

import sys


def main(folder):
    """Serve until standard input closes."""
    import tensorflow as tf

    from experiments.bench import adapting, contenders
    from tfmeta.utils import threads

    tf.config.threading.set_intra_op_parallelism_threads(threads.cores())
    tf.config.threading.set_inter_op_parallelism_threads(threads.cores())
    setting, banks, weights = contenders.scene(folder)
    measures = {
        "naive": contenders.naive(setting, banks, weights),
        "matmul": contenders.matrix_multiply(),
        "tasks": adapting.contender("matching, one task after another"),
    }
    for line in sys.stdin:
        print(measures[line.strip()](), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
