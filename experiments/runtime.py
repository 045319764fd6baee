"""Section B's table for this machine: how long the parts of an experiment take, beside the paper's times.

Each part runs in units until it is complete or `BUDGET` seconds are over. The rest is extrapolated from the rate, and
the table says so. The paper's machines: four clients with 4 CPUs and one Nvidia T4 each, and a server.
"""

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.measured import result
from experiments.size import Needs
from tfmeta import registry
from tfmeta.config import Config
from tfmeta.config.attack import FIRST_ROUND
from tfmeta.federated import rounds
from tfmeta.simulation import Simulation
from tfmeta.utils import threads

NAMES = {"runtime": ("a",)}
BUDGET = 30.0  # seconds per part, without the first units, which trace graphs
# Episodes, or iterations of some tasks, per unit. Small units would make a round look slower than it is: each pays for
# a round's own work, such as reading the users' images.
UNIT, _SOME_TASKS = 50, 5
# part -> what the table calls it, and the paper's minutes (section B) on Omniglot and on mini-ImageNet
PARTS = {
    "pre-training": ("pre-training", 250, 250),
    "poisoning": ("poisoning training", 1250, 450),
    "fine-tuning": ("benign fine-tuning, 2 models, tasks of {users} users and meta-test", 130, 130),
    "benign rounds": ("benign meta-training after the attack", 80, 120),
}


def needs(name: str, config: Config) -> Needs:
    """Return that it needs no stored model, and little more than its budget."""
    return Needs(None, seconds=1.5 * len(PARTS) * BUDGET)


def run(name: str, sim: Simulation, case: str) -> Path:
    """Measure all parts; return the path of the document, whose measurements hold them."""
    return result(sim, name, case, lambda: ([], {"measurements": _measurements(sim)}, {}))


def _measurements(sim):
    paper = registry.PAPER_DATASETS.index(registry.find("datasets", sim.bank.dataset).profiles_of)
    users = len(sim.measured_users)
    words = {
        name: {"title": title.format(users=users), "paper_minutes": minutes[paper]}
        for name, (title, *minutes) in PARTS.items()
    }
    parts = [{**part, **words[part["name"]]} for part in measure(sim)]
    return {"parts": parts, "cores": threads.cores(), "runtime": sim.config.federation.runtime}


def measure(sim: Simulation, budget: float = BUDGET) -> list[dict[str, Any]]:
    """Time every part of a configuration for `budget` seconds, from random weights, since speed ignores them.

    Returns:
        For each part "name", "unit", "done", "total", "seconds", "minutes" and "extrapolated": `done` of `total` units
        took `seconds`, so the whole takes `minutes`.
    """
    config, work, size = sim.config, _Work(sim), sim.config.meta_learning.meta_batch_size
    federation, attack, steps = config.federation, config.attack, config.evaluation.fine_tuning_steps
    # as many inner steps as UNIT benign episodes have
    poisoned = max(1, UNIT * config.meta_learning.inner_steps // (attack.inner_steps * size)) * size
    pretraining = federation.pretraining_rounds * federation.pretraining_episodes
    after, sets = federation.rounds_after * federation.round_episodes, len(sim.measured_users) + 1
    tasks = 2 * sets * config.evaluation.tasks
    poisoning = attack.episodes * federation.attackers * len(rounds.with_attackers(config))
    users, chunk, found = "episodes per user", min(attack.checkpoint_episodes, poisoned), []
    plan = (  # name, unit, how many the profile has, what runs some, how many at once, the fewest that trace
        ("pre-training", users, pretraining, work.meta_training, federation.pretraining_episodes, size),
        ("poisoning", "poisoned episodes", poisoning, work.poisoning, chunk, size),
        ("fine-tuning", "iterations", tasks * steps, work.fine_tuning, steps, min(steps, UNIT)),
        ("benign rounds", users, after, work.meta_training, federation.round_episodes, size),
    )
    with sim.bar(len(plan), "run times", "part") as bar:
        for name, unit, total, run_some, most, fewest in plan:
            found.append(_timed(name, unit, total, run_some, min(most, UNIT), fewest, budget))
            bar.update(1)
    return found


class _Work:
    """What is timed. Each method does some units and returns how many."""

    def __init__(self, sim):
        self.sim, self.federation = sim, sim.federation()
        self.weights = sim.model.initial_weights(sim.config.meta_learning.seed)
        self.state = self.federation.start(self.weights)
        self.clients = sim.partition.benign[: sim.config.federation.clients_per_round]
        # the first two trace: with triggered images, and without
        self.turns = itertools.cycle((sim.measured_users[0], None, *sim.measured_users[1:]))

    def meta_training(self, number, episodes):
        from tfmeta.federated.jobs import benign_job

        work = self.sim.client_data, self.sim.config
        jobs = [benign_job(*work, user, True, "pretraining", number, episodes) for user in self.clients]
        self.federation.next(self.state, jobs)
        return episodes

    def poisoning(self, number, episodes):
        from tfmeta.federated.jobs import attacker_chunk_job

        config = self.sim.config.replace({"attack.checkpoint_episodes": episodes})
        job = attacker_chunk_job(self.sim.client_data, config, 1, FIRST_ROUND, 0)
        job = job._replace(first_episode=np.int32(number))
        moments = np.zeros(sum(part.size for part in self.weights), np.float32)
        self.federation.train_chunk(self.weights, moments, np.float32(0), job)
        return episodes

    def fine_tuning(self, _, iterations):
        from tfmeta.meta_learning.adaptation import AdaptationSettings
        from tfmeta.meta_learning.evaluation import measure

        sim, some = self.sim, self.sim.tasks("a", next(self.turns)).part(slice(0, _SOME_TASKS))
        points = _points(sim.config.evaluation.fine_tuning_steps, iterations)
        settings, defence = AdaptationSettings.of(sim.config), sim.chosen_defence("fine_tuning")
        measure(sim.model, settings, self.weights, some, points, defence)
        return len(some) * iterations


def _points(steps, iterations):
    """Return at which of some `iterations` to measure, so that measuring has its share of the whole `steps`."""
    from tfmeta.meta_learning.evaluation import points_upto

    number = max(1, round(len(points_upto(steps)) * iterations / steps))
    return tuple(iterations * (one + 1) // number for one in range(number))


def _timed(name, unit, total, run_some, size, fewest, budget):
    """Time `run_some(number, size)`, which does `size` units from `number` on; first with `fewest`, which traces."""
    for _ in range(2):  # the second traces the graph of meta-test tasks
        run_some(0, fewest)
    done, begun = 0, time.perf_counter()
    while done < total and time.perf_counter() - begun < budget:
        done += run_some(done, size)
    seconds = time.perf_counter() - begun
    minutes = seconds * total / done / 60  # the last run may have done more than was left
    found = dict(name=name, unit=unit, done=min(done, total), total=total, extrapolated=done < total)
    return {**found, "seconds": seconds, "minutes": minutes}
