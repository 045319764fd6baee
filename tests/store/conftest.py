"""A small valid result, and its per-task values."""

import numpy as np
import pytest

from tfmeta.store import results


@pytest.fixture
def made():
    """A function that returns the document and values of two curves; keywords change the document."""

    def make(seed=0, **more):
        rng = np.random.default_rng(seed)
        curves, values = [], {}
        for user, metric in ((2, "main"), (None, "meta_test")):
            drawn = rng.integers(0, 6, (3, 10)) / 5
            curve = results.curve(
                user=user, head="softmax", metric=metric, split="after", x=[0, 10, 50], x_name="iteration",
                task_values=drawn,
            )  # fmt: skip
            curves.append(curve)
            values[results.key(curve)] = drawn
        document = {
            "experiment": "fine_tuning", "case": "a", "dataset": "glyphs", "profile": "smoke",
            "config": {"meta_learning": {"seed": 3, "ways": 5, "inner_learning_rate": 0.001}, "attack": {"boost": 3.0}},
            "changed": {},
            "provenance": {
                "commit": "unknown", "versions": {"numpy": np.__version__}, "data_digest": "ab" * 32,
                "started": "2000-01-01T00:00:00+00:00", "seconds": 2.5,
            },
            "curves": curves,
        }  # fmt: skip
        return {**document, **more}, values

    return make
