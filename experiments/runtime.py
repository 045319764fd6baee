"""Section B's table for this machine: how long the parts of an experiment take, beside the paper's.

Each part is run in units (a round, a chunk of poisoned episodes, iterations of some tasks) until it is whole or
``BUDGET`` seconds are over; then the rest is extrapolated from the units' rate, and the table says so. The paper's
machines: four clients with 4 CPUs and one Nvidia T4 each, and a server.
"""

import dataclasses
import itertools
import time

import numpy as np

from experiments.measured import result
from tfmeta import threads, users
from tfmeta.data.partition import BENIGN

BUDGET = 30.0  # seconds a part; the first units, which trace graphs, come on top and do not count
# Episodes, or iterations of some tasks, a unit, where there are as many. Each unit pays for a round's own work, such as
# reading the users' pictures, so units of few would make a round look slower than it is.
UNIT = 50
# minutes, section B
PAPER = {
    "black-and-white": {"pre-training": 250, "poisoning": 1250, "fine-tuning": 130, "benign rounds": 80},
    "colour": {"pre-training": 250, "poisoning": 450, "fine-tuning": 130, "benign rounds": 120},
}
NAMES = {
    "pre-training": "pre-training",
    "poisoning": "poisoning training",
    "fine-tuning": "benign fine-tuning, 2 models, tasks of 3 users and meta-test",
    "benign rounds": "benign meta-training after the attack",
}


def run(name, lab, case):
    """Measure all parts; return the path of the document, whose measurements hold them."""
    return result(lab, name, case, lambda: ([], {"measurements": _measurements(lab)}, {}))


def _measurements(lab):
    paper = PAPER["colour" if lab.bank.images.shape[-1] == 3 else "black-and-white"]
    parts = [{**part, "title": NAMES[part["name"]], "paper_minutes": paper[part["name"]]} for part in measure(lab)]
    return {"parts": parts, "cores": threads.cores(), "runtime": lab.config.runtime}


def measure(lab, budget=BUDGET):
    """Time every part of a laboratory's configuration, from random weights: speed does not depend on them.

    Returns a list of {"name", "unit", "done", "total", "seconds", "minutes", "extrapolated"}: ``done`` of ``total``
    units took ``seconds``, so the whole takes ``minutes``.
    """
    config, federation = lab.config, lab.federation()
    weights = lab.model_shape.initial_weights(config.seed)
    state = federation.start(weights)
    moments = np.zeros(sum(part.size for part in weights), np.float32)

    def meta_training(number, episodes):
        jobs = [users.benign_job(lab.banks, config, user, True, "pretraining", number, episodes) for user in BENIGN]
        federation.next(state, jobs)
        return episodes

    def poisoning(number, episodes):
        job = users.attacker_chunk_job(lab.banks, dataclasses.replace(config, attack_chunk=episodes), 0)
        federation.train_chunk(weights, moments, np.float32(0), job._replace(first=np.int32(number)))
        return episodes

    turns = itertools.cycle((BENIGN[0], None, *BENIGN[1:]))  # the first two trace: with keyed pictures, and without

    def fine_tuning(_, iterations):
        from tfmeta.evaluation import SIDE_BY_SIDE, measure

        some = lab.tasks("a", next(turns)).part(slice(0, SIDE_BY_SIDE))
        measure(lab.model_shape, config, weights, some, _points(config.finetune_steps, iterations))
        return len(some) * iterations

    steps = config.finetune_steps
    rounds = config.pretraining_rounds * config.pretraining_episodes
    after = config.rounds_after * config.round_episodes
    # as many inner steps as UNIT benign episodes have
    alike = max(1, UNIT * config.inner_steps // (config.attack_inner_steps * config.meta_batch)) * config.meta_batch
    plan = {  # name -> (unit, how many the profile has, what runs some, how many at once)
        "pre-training": ("episodes a user", rounds, meta_training, config.pretraining_episodes),
        "poisoning": ("poisoned episodes", config.attack_episodes, poisoning, min(config.attack_chunk, alike)),
        "fine-tuning": ("iterations", 2 * 4 * config.tasks * steps, fine_tuning, steps),
        "benign rounds": ("episodes a user", after, meta_training, config.round_episodes),
    }
    with lab.bar(len(plan), "run times", "part") as bar:
        found = []
        for name, (unit, total, run, most) in plan.items():
            size = min(most, UNIT)
            smallest = size if name == "fine-tuning" else config.meta_batch
            found.append(_timed(name, unit, total, run, size, smallest, budget))
            bar.update(1)
    return found


def _points(steps, iterations):
    """Return at which of some ``iterations`` to measure, so that measuring has its share of the whole ``steps``."""
    from tfmeta.evaluation import points_upto

    number = max(1, round(len(points_upto(steps)) * iterations / steps))
    return tuple(iterations * (one + 1) // number for one in range(number))


def _timed(name, unit, total, run, size, smallest, budget):
    """Time ``run(number, size)``, which does some from ``number`` on and returns how many; first with ``smallest``."""
    for _ in range(2):  # traces, also the graph of meta-test tasks
        run(0, smallest)
    done, begun = 0, time.perf_counter()
    while done < total and time.perf_counter() - begun < budget:
        done += run(done, size)
    seconds = time.perf_counter() - begun
    minutes = seconds * total / done / 60  # the last run may have done more than was left
    return {
        "name": name, "unit": unit, "done": min(done, total), "total": total, "seconds": seconds, "minutes": minutes,
        "extrapolated": done < total,
    }  # fmt: skip


if __name__ == "__main__":
    from tfmeta.cli import experiment_command

    experiment_command("runtime")()
