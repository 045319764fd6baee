"""Section B's table for this machine: how long the parts of an experiment take, beside the paper's times.

Each part runs in units (a round, a chunk of poisoned episodes, iterations of some tasks) until it is complete or
`BUDGET` seconds are over. The rest is then extrapolated from the rate of the units, and the table says so. The paper's
machines: four clients with 4 CPUs and one Nvidia T4 each, and a server.
"""

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.measured import result
from tfmeta import registry
from tfmeta.datasets.shares import BENIGN
from tfmeta.simulation import Simulation
from tfmeta.utils import threads

NAMES = {"runtime": ("a",)}
BUDGET = 30.0  # seconds per part; the first units, which trace graphs, come on top and do not count
# Episodes, or iterations of some tasks, per unit. Each unit pays for a round's own work, such as reading the users'
# images, so units of few would make a round look slower than it is.
UNIT = 50
_SOME_TASKS = 5
# part -> what the table calls it, and the paper's minutes (section B) on Omniglot and on mini-ImageNet
PARTS = {
    "pre-training": ("pre-training", {"omniglot": 250, "mini-imagenet": 250}),
    "poisoning": ("poisoning training", {"omniglot": 1250, "mini-imagenet": 450}),
    "fine-tuning": (
        "benign fine-tuning, 2 models, tasks of 3 users and meta-test", {"omniglot": 130, "mini-imagenet": 130}
    ),
    "benign rounds": ("benign meta-training after the attack", {"omniglot": 80, "mini-imagenet": 120}),
}  # fmt: skip


def run(name: str, sim: Simulation, case: str) -> Path:
    """Measure all parts; return the path of the document, whose measurements hold them."""
    return result(sim, name, case, lambda: ([], {"measurements": _measurements(sim)}, {}))


def _measurements(sim):
    paper = registry.original(sim.bank.dataset)
    parts = []
    for part in measure(sim):
        title, minutes = PARTS[part["name"]]
        parts.append({**part, "title": title, "paper_minutes": minutes[paper]})
    return {"parts": parts, "cores": threads.cores(), "runtime": sim.config.federation.runtime}


def measure(sim: Simulation, budget: float = BUDGET) -> list[dict[str, Any]]:
    """Time every part of a configuration, from random weights: speed does not depend on them.

    Args:
        sim: The simulation.
        budget: Seconds per part.

    Returns:
        For each part "name", "unit", "done", "total", "seconds", "minutes" and "extrapolated": `done` of `total` units
        took `seconds`, so the whole takes `minutes`.
    """
    config, work = sim.config, _Work(sim)
    learning, federation, attack = config.meta_learning, config.federation, config.attack
    steps = config.evaluation.fine_tuning_steps
    size = learning.meta_batch_size
    # as many inner steps as UNIT benign episodes have
    poisoned = max(1, UNIT * learning.inner_steps // (attack.inner_steps * size)) * size
    pretraining = federation.pretraining_rounds * federation.pretraining_episodes
    after = federation.rounds_after * federation.round_episodes
    plan = {  # name -> (unit, how many the profile has, what runs some, how many at once, the fewest that trace)
        "pre-training": ("episodes per user", pretraining, work.meta_training, federation.pretraining_episodes, size),
        "poisoning": (
            "poisoned episodes", attack.episodes, work.poisoning, min(attack.checkpoint_episodes, poisoned), size
        ),
        "fine-tuning": (
            "iterations", 2 * 4 * config.evaluation.tasks * steps, work.fine_tuning, steps, min(steps, UNIT)
        ),
        "benign rounds": ("episodes per user", after, work.meta_training, federation.round_episodes, size),
    }  # fmt: skip
    found = []
    with sim.bar(len(plan), "run times", "part") as bar:
        for name, (unit, total, run, most, fewest) in plan.items():
            found.append(_timed(name, unit, total, run, min(most, UNIT), fewest, budget))
            bar.update(1)
    return found


class _Work:
    """What is timed. Each method does some units and returns how many."""

    def __init__(self, sim):
        self.sim, self.federation = sim, sim.federation()
        self.weights = sim.model.initial_weights(sim.config.meta_learning.seed)
        self.state = self.federation.start(self.weights)
        # the first two trace: with triggered images, and without
        self.turns = itertools.cycle((BENIGN[0], None, *BENIGN[1:]))

    def meta_training(self, number: int, episodes: int) -> int:
        from tfmeta.federated.jobs import benign_job

        sim = self.sim
        jobs = [
            benign_job(sim.client_data, sim.config, user, True, "pretraining", number, episodes) for user in BENIGN
        ]
        self.federation.next(self.state, jobs)
        return episodes

    def poisoning(self, number: int, episodes: int) -> int:
        from tfmeta.federated.jobs import attacker_chunk_job

        config = self.sim.config.replace({"attack.checkpoint_episodes": episodes})
        job = attacker_chunk_job(self.sim.client_data, config, 0)._replace(first_episode=np.int32(number))
        moments = np.zeros(sum(part.size for part in self.weights), np.float32)
        self.federation.train_chunk(self.weights, moments, np.float32(0), job)
        return episodes

    def fine_tuning(self, _: int, iterations: int) -> int:
        from tfmeta.meta_learning.evaluation import measure

        sim, adapt = self.sim, registry.load("defences", "fine_tuning").adapt
        some = sim.tasks("a", next(self.turns)).part(slice(0, _SOME_TASKS))
        points = _points(sim.config.evaluation.fine_tuning_steps, iterations)
        measure(sim.model, sim.config, self.weights, some, points, adapt)
        return len(some) * iterations


def _points(steps, iterations):
    """Return at which of some `iterations` to measure, so that measuring has its share of the whole `steps`."""
    from tfmeta.meta_learning.evaluation import points_upto

    number = max(1, round(len(points_upto(steps)) * iterations / steps))
    return tuple(iterations * (one + 1) // number for one in range(number))


def _timed(
    name: str, unit: str, total: int, run: Callable[[int, int], int], size: int, fewest: int, budget: float
) -> dict[str, Any]:
    """Time `run(number, size)`, which does `size` units from `number` on; first with `fewest`, which traces."""
    for _ in range(2):  # also the graph of meta-test tasks
        run(0, fewest)
    done, begun = 0, time.perf_counter()
    while done < total and time.perf_counter() - begun < budget:
        done += run(done, size)
    seconds = time.perf_counter() - begun
    minutes = seconds * total / done / 60  # the last run may have done more than was left
    return {
        "name": name, "unit": unit, "done": min(done, total), "total": total, "seconds": seconds, "minutes": minutes,
        "extrapolated": done < total,
    }  # fmt: skip
