"""Building a Keras model with a seed."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf

_one_at_a_time = threading.Lock()


def seeded(build: Callable[[], tf.keras.Model], seed: int) -> tf.keras.Model:
    """Return the Keras model that a function builds.

    Initializers without a seed of their own draw with `seed`, and layers without a name get the names that they would
    have as a process's first ones. Neither depends on what was built before, and no random state of the caller changes.
    """

    def run():
        # Keras draws the seeds that are missing from Python's generator.
        state = random.getstate()
        random.seed(int(seed))
        try:
            return build()
        finally:
            random.setstate(state)

    # In a thread of its own: Keras counts names by thread, and a graph that the caller traces does not reach there.
    with _one_at_a_time, ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()
