"""Seeds by name."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tfmeta.utils import seeds

words = st.lists(st.one_of(st.integers(0, 100), st.sampled_from(["round", "user", "a", "b", "ab"])), max_size=4)


def test_derived_seeds_never_change():
    """Golden numbers: runs stored by an earlier version must go on with the same draws."""
    assert seeds.derive(7, "pretraining", "round", 3, "user", 2).tolist() == [-93939664, -980693183]
    assert seeds.generator(7, "partition").integers(0, 1000, 4).tolist() == [375, 118, 110, 132]


def test_a_seed_is_what_stateless_operations_take():
    seed = seeds.derive(0, "x")
    assert seed.dtype == np.int32 and seed.shape == (2,)
    assert seed.flags.writeable is True  # a copy, not a view of the digest


@settings(deadline=None)
@given(st.integers(0, 1000), words, st.integers(0, 1000), words)
def test_seeds_differ_exactly_where_their_names_do(one, path, other, other_path):
    same_names = [str(part) for part in (one, *path)] == [str(part) for part in (other, *other_path)]
    assert (seeds.derive(one, *path).tolist() == seeds.derive(other, *other_path).tolist()) == same_names
    drawn = [
        seeds.generator(seed, *names).integers(0, 2**63, 2).tolist()
        for seed, names in ((one, path), (other, other_path))
    ]
    assert (drawn[0] == drawn[1]) == same_names


def test_both_halves_of_a_seed_vary():
    drawn = np.stack([seeds.derive(0, "episode", number) for number in range(200)])
    assert len(set(drawn[:, 0])) == len(set(drawn[:, 1])) == 200
    assert (drawn < 0).any() and (drawn > 0).any()


def test_a_generator_does_not_depend_on_earlier_draws():
    first = seeds.generator(1, "tasks", 4).random(3)
    seeds.generator(1, "tasks", 3).random(100)
    np.random.random(5)
    assert (seeds.generator(1, "tasks", 4).random(3) == first).all()
