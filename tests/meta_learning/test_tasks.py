"""Tasks of benign users and meta-test tasks: who owns their images, labels and seeds (ledger 18 to 22, 33)."""

import numpy as np
import pytest
from core_fixtures import bank, identify, partition, small_config, trigger

from tfmeta.config.cases import CASES
from tfmeta.federated.rounds import knows_backdoor
from tfmeta.meta_learning import tasks

TRIGGER = trigger()
NUMBER = 12


def config(**overrides):
    return small_config(**{"tasks": NUMBER, "task_label": "random", **overrides})


def user_tasks(case="a", user=2, **overrides):
    return tasks.user_tasks(bank(), partition(), TRIGGER, config(**overrides), user, case)


def meta_test(**overrides):
    return tasks.meta_test_tasks(bank(), partition(), config(**overrides))


def identified(images):
    return [identify(image) for image in images]


def classes_of(made, number):
    """Return {label: (class, quarter turns)} of a task, by its support images and by its queries."""
    support, queries = {}, {}
    for found, label in zip(identified(made.support[number]), made.support_labels[number], strict=True):
        assert support.setdefault(int(label), (found[0], found[2])) == (found[0], found[2])
    for found, label in zip(identified(made.queries[number]), made.query_labels[number], strict=True):
        queries[int(label)] = (found[0], found[2])
    return support, queries


def allowed(user, case):
    """Return the (class, example) that may be in a task's support, and in its queries."""
    split = partition()
    support = owned(split.train[user]) | owned(split.target_benign[user])
    queries = owned(split.validation[user]) | owned(split.target_validation)
    if case == "c":
        support |= owned(split.backdoor_benign[user])
        queries |= owned(split.backdoor_validation)
    return support, queries


def owned(subset):
    """Return the (class, example) of a subset's images."""
    rows = zip(subset.classes, subset.examples, strict=True)
    return {(int(row), int(example)) for row, examples in rows for example in examples if example >= 0}


TARGET = int(partition().target_attacker.classes[0])
BACKDOOR = [int(row) for row in partition().backdoor_attacker.classes]


@pytest.mark.parametrize("user", [2, 3, 4])
@pytest.mark.parametrize("case", ["a", "b", "c"])
def test_a_task_has_the_users_classes_and_the_target_class(case, user):
    made, ways, shots = user_tasks(case, user), 5, 5
    assert len(made) == NUMBER
    assert made.support.shape == (NUMBER, ways * shots, 28, 28, 1) and made.support.dtype == np.uint8
    assert made.queries.shape == (NUMBER, ways, 28, 28, 1) and made.queries.dtype == np.uint8
    assert made.support_labels.dtype == made.query_labels.dtype == made.target.dtype == made.seeds.dtype == np.int32
    may_support, may_query = allowed(user, case)
    for number in range(NUMBER):
        support, queries = classes_of(made, number)
        assert support == queries and sorted(support) == list(range(ways))
        assert len(set(support.values())) == ways  # distinct classes
        assert np.bincount(made.support_labels[number]).tolist() == [shots] * ways
        assert support[int(made.target[number])] == (TARGET, 0)  # the target class is always included
        backdoor = [of for of, _ in support.values() if of in BACKDOOR]
        assert len(backdoor) == (1 if case == "c" else 0)
        shown, queried = identified(made.support[number]), identified(made.queries[number])
        assert len(set(shown)) == ways * shots
        assert {found[:2] for found in shown} <= may_support
        assert {found[:2] for found in queried} <= may_query
        assert {found[:2] for found in shown}.isdisjoint(found[:2] for found in queried)


@pytest.mark.parametrize("backdoor_in_task", [1, 2, 4])
def test_case_c_has_backdoor_classes_under_their_own_labels(backdoor_in_task):
    made = user_tasks("c", backdoor_classes_in_task=backdoor_in_task)
    for number in range(NUMBER):
        support, _ = classes_of(made, number)
        present = {of for of, turns in support.values() if of in BACKDOOR and turns == 0}
        assert len(present) == backdoor_in_task
        labels = {label for label, (of, _) in support.items() if of in BACKDOOR}
        assert int(made.target[number]) not in labels  # correctly labelled
        for name in ("backdoor_train", "backdoor_validation"):
            expected = np.repeat([row in present for row in BACKDOOR], 5)  # five images per class, class by class
            assert made.counted[name][number].tolist() == expected.tolist()
    assert len({tuple(mask) for mask in made.counted["backdoor_train"]}) > 1 or backdoor_in_task == 4


@pytest.mark.parametrize("case", ["a", "b"])
def test_without_backdoor_classes_in_the_task_all_triggered_images_count(case):
    made = user_tasks(case)
    assert {name: mask.shape for name, mask in made.counted.items()} == {
        "backdoor_train": (NUMBER, 20),
        "backdoor_validation": (NUMBER, 20),
    }
    assert all(mask.dtype == bool and mask.all() for mask in made.counted.values())


@pytest.mark.parametrize("case", ["a", "c"])
def test_triggered_images_are_the_attackers_and_held_out_ones(case):
    made, split = user_tasks(case), partition()
    owners = {"backdoor_train": split.backdoor_attacker, "backdoor_validation": split.backdoor_held_out}
    assert list(made.triggered) == list(owners)
    seen = {}
    for name, subset in owners.items():
        images = [(of, example) for of, row in zip(subset.classes, subset.examples, strict=True) for example in row]
        expected = TRIGGER.stamp(bank().images[tuple(np.transpose(images))])
        assert made.triggered[name].dtype == np.uint8 and (made.triggered[name] == expected).all()
        seen[name] = set(images)
    assert seen["backdoor_train"].isdisjoint(seen["backdoor_validation"])
    shown = {found[:2] for row in made.support for found in identified(row)}
    assert shown.isdisjoint(seen["backdoor_train"] | seen["backdoor_validation"])


def arrays(made):
    names = ("support", "support_labels", "queries", "query_labels", "seeds")
    return {name: getattr(made, name) for name in names} | made.counted


def same(one, other):
    one, other = arrays(one), arrays(other)
    return {name: one[name].shape == other[name].shape and (one[name] == other[name]).all() for name in one}


def test_cases_a_and_b_share_tasks_and_case_c_has_others():
    assert all(same(user_tasks("a"), user_tasks("b")).values())
    assert not any(same(user_tasks("a"), user_tasks("c")).values())


@pytest.mark.parametrize("other", [dict(user=3), dict(task_seed=1), dict(seed=1)], ids=lambda other: next(iter(other)))
def test_user_and_seeds_determine_the_tasks(other):
    assert all(same(user_tasks(), user_tasks()).values())
    different = same(user_tasks(), user_tasks(**other))
    assert not different["support"] and not different["queries"] and not different["seeds"]


def test_more_tasks_start_with_the_same_ones():
    few, many = user_tasks(tasks=4), user_tasks(tasks=7)
    assert all(same(few, many.part(slice(4))).values())
    assert not (few.support[0] == few.support[1]).all() and len({tuple(seed) for seed in many.seeds}) == 7


def test_the_target_label_is_random_or_the_last():
    anywhere = user_tasks(tasks=60)
    assert set(anywhere.target) == set(range(5))
    last = user_tasks(tasks=20, task_label="last")
    assert set(last.target) == {4}
    assert all(sorted(row) == list(range(5)) for row in last.query_labels)
    assert len({tuple(row) for row in last.query_labels}) > 10  # the other classes still have random labels


def test_queries_of_rotated_classes_are_rotated_alike():
    made = user_tasks(tasks=30)
    turns = {turns for number in range(30) for _, turns in classes_of(made, number)[0].values()}
    assert turns == {0, 1, 2, 3}


def test_queries_are_drawn_from_all_held_out_images():
    made = user_tasks(tasks=60)
    target = [identify(made.queries[number, list(made.query_labels[number]).index(made.target[number])])[1]
              for number in range(60)]  # fmt: skip
    assert set(target) == set(partition().target_validation.examples[0].tolist())


def test_shots_and_ways_are_configurable():
    made = user_tasks("c", ways=3, task_shots=10, backdoor_classes_in_task=2)
    assert made.support.shape[1] == 30 and made.queries.shape[1] == 3
    for number in range(NUMBER):
        assert len(set(identified(made.support[number]))) == 30
        assert len([of for of, _ in classes_of(made, number)[0].values() if of in BACKDOOR]) == 2


def test_meta_test_tasks_have_only_meta_test_classes():
    made, subset = meta_test(), partition().meta_test
    assert made.support.shape == (NUMBER, 25, 28, 28, 1) and made.queries.shape == (NUMBER, 5, 28, 28, 1)
    assert made.triggered == made.counted == {} and made.target is None
    shown_examples = set()
    for number in range(NUMBER):
        support, queries = classes_of(made, number)
        assert support == queries and len(set(support.values())) == 5 and sorted(support) == list(range(5))
        shown, queried = identified(made.support[number]), identified(made.queries[number])
        assert {found[:2] for found in (*shown, *queried)} <= owned(subset)
        assert len({*shown, *queried}) == 30  # the held-out image is not in the support
        shown_examples |= {example for _, example, _ in queried}
    assert len(shown_examples) > 12  # any of a class's 20 may be held out
    assert not same_support(made, meta_test(task_seed=1)) and same_support(made, meta_test())


def same_support(one, other):
    return (one.support == other.support).all()


def test_a_part_has_the_tasks_of_its_slice():
    made = user_tasks("c")
    part = made.part(slice(3, 5))
    assert len(part) == 2
    assert all((arrays(part)[name] == arrays(made)[name][3:5]).all() for name in arrays(made))
    assert (part.target == made.target[3:5]).all() and part.triggered is made.triggered
    assert len(meta_test().part(slice(0, 2))) == 2


def test_benign_users_train_on_backdoor_classes_in_cases_b_and_c():
    assert {case: knows_backdoor(case) for case in CASES} == {"a": False, "b": True, "c": True}


def test_backdoor_images_are_those_of_all_attackers_together():
    one = tasks.user_tasks(bank(), partition(), TRIGGER, config(), 3, "a").triggered
    many = tasks.user_tasks(
        bank(), partition(0, 12, 2), TRIGGER, config(federation_users=12, attackers=2), 3, "a"
    ).triggered
    assert all((one[name] == many[name]).all() for name in one)
