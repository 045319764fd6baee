"""Estimates of memory and time scale as what they estimate does."""

import pytest
from core_fixtures import bank, partition

from tfmeta.config import make_config
from tfmeta.estimate import Estimate, Measured, Shapes, Work, estimate
from tfmeta.models.conv4 import Conv4

MODEL, SHAPES = Conv4((28, 28, 1), 5, 32), Shapes((28, 28, 1), 10_000, 40)
WORK = Work(1000, 100, 500, (Measured(8, 40, 500), Measured(8, 40, 500, matching=True)))


def of(work=WORK, cores=2, shapes=SHAPES, model=MODEL, **overrides):
    return estimate(make_config("omniglot", "quick", **overrides), model, shapes, cores, work)


def test_shapes_are_those_of_bank_and_partition():
    shapes = Shapes.of(bank(), partition())
    owned = partition()
    classes = max(len(subset.classes) for subset in owned.train.values())
    assert shapes.image == (28, 28, 1) and shapes.shard >= classes * 15
    assert shapes.queries == owned.backdoor_attacker.counts.sum() + owned.backdoor_held_out.counts.sum()


@pytest.mark.parametrize(
    ("work", "part"),
    [
        (Work(pretraining=1000), "pre-training"),
        (Work(poisoned=1000), "the attack"),
        (Work(benign=1000), "benign rounds"),
        (Work(measured=(Measured(8, 40, 500),)), "measuring"),
        (Work(measured=(Measured(8, 40, 500, matching=True),)), "measuring"),
        (Work(measured=(Measured(8, 40, 0, extra_episodes=100),)), "measuring"),
        (Work(seconds=60.0), "measuring"),
    ],
)
def test_double_the_work_takes_double_the_time(work, part):
    once, twice = of(work), of(work + work)
    assert twice.seconds[part] == pytest.approx(2 * once.seconds[part]) and once.seconds[part] > 0
    assert {name for name, seconds in once.seconds.items() if seconds} == {"start", part}


def test_nothing_to_do_takes_no_time():
    assert of(Work()).total_seconds == 0 and of(None).total_seconds == 0


def test_time_follows_steps_and_cores():
    plain, double = of(), of(meta_learning_inner_steps=20, attack_inner_steps=100)
    for part in ("pre-training", "the attack", "benign rounds"):
        assert double.seconds[part] == pytest.approx(2 * plain.seconds[part])
        assert of(cores=1).seconds[part] == pytest.approx(2 * plain.seconds[part])
    # a meta-batch has five episodes, and three clients train at once in TFF, but one after another in this process
    assert of(cores=64).seconds["the attack"] == pytest.approx(plain.seconds["the attack"] * 2 / 5)
    assert of(cores=64).seconds["pre-training"] == pytest.approx(plain.seconds["pre-training"] * 2 / 15)
    here = of(cores=64, runtime="inprocess").seconds["pre-training"]
    assert here == pytest.approx(plain.seconds["pre-training"] * 2 / 5)


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (dict(inner_batch_size=100), "training"),
        (dict(meta_batch_size=10, checkpoint_episodes=50), "training"),
        (dict(tasks=1000), "images of the tasks"),
        (dict(task_shots=10), "images of the tasks"),
        (dict(users=21, clients_per_round=20, alpha=0.05), "weights"),
        (dict(users=21, clients_per_round=20, alpha=0.05), "images of the clients"),
        (dict(tasks=1000, extra_episodes=10), "measuring"),
        (dict(inner_batch_size=100), "measuring"),
    ],
)
def test_memory_grows_with_the_fields(overrides, part):
    if "users" in overrides:
        overrides = {"federation.users": overrides["users"], **{k: v for k, v in overrides.items() if k != "users"}}
    plain, more = of(), of(**overrides)
    assert more.memory[part] > 1.3 * plain.memory[part]
    assert all(more.memory[name] >= bytes for name, bytes in plain.memory.items())


def test_in_this_process_clients_take_turns():
    tff, here = of().memory, of(runtime="inprocess").memory
    assert here["training"] < tff["training"] and here["TFF's worker"] == 0
    assert here["images of the clients"] < tff["images of the clients"]


def test_of_two_runs_the_larger_memory_and_the_sum_of_the_times_count():
    both = Estimate({"weights": 2}, {"start": 1.0, "measuring": 2.0}) + Estimate({"weights": 3}, {"start": 4.0})
    assert both == Estimate({"weights": 3}, {"start": 5.0, "measuring": 2.0})
