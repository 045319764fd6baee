"""Section B's table for this machine: how long the parts of an experiment take, beside the paper's.

Each part is run in units (a round, a chunk of poisoned episodes, some tasks) until it is whole or ``BUDGET`` seconds
are over; then the rest is extrapolated from the units' rate, and the table says so. The paper's machines: four
clients with 4 CPUs and one Nvidia T4 each, and a server.
"""

import dataclasses
import time

import numpy as np

from experiments.measured import result
from tfmeta import threads, users
from tfmeta.data.partition import BENIGN

BUDGET = 30.0  # seconds a part; the first units, which trace graphs, come on top and do not count
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

    def poisoning(number):
        job = users.attacker_chunk_job(lab.banks, dataclasses.replace(config, attack_chunk=config.meta_batch), 0)
        federation.train_chunk(weights, moments, np.float32(0), job._replace(first=np.int32(number)))

    def fine_tuning(number):
        from tfmeta.evaluation import SIDE_BY_SIDE, measure, points_upto

        user = (*BENIGN, None)[number % 4]
        some = lab.tasks("a", user).part(slice(0, SIDE_BY_SIDE))
        measure(lab.model_shape, config, weights, some, points_upto(config.finetune_steps))
        return len(some)

    batch = config.meta_batch
    rounds = config.pretraining_rounds * config.pretraining_episodes
    after = config.rounds_after * config.round_episodes
    plan = {
        "pre-training": ("episodes a user", rounds, lambda i: meta_training(i, batch) or batch),
        "poisoning": ("poisoned episodes", config.attack_episodes, lambda i: poisoning(i * batch) or batch),
        "fine-tuning": ("tasks", 2 * 4 * config.tasks, fine_tuning),
        "benign rounds": ("episodes a user", after, lambda i: meta_training(i, batch) or batch),
    }
    with lab.bar(len(plan), "run times", "part") as bar:
        found = []
        for name, (unit, total, run) in plan.items():
            found.append(_timed(name, unit, total, run, budget))
            bar.update(1)
    return found


def _timed(name, unit, total, run, budget):
    for number in (0, 3):  # traces, also the graph of meta-test tasks
        run(number)
    done, begun = 0, time.perf_counter()
    while done < total and time.perf_counter() - begun < budget:
        done += run(1 + done)
    seconds, done = time.perf_counter() - begun, min(done, total)
    minutes = seconds * total / done / 60
    return {
        "name": name, "unit": unit, "done": done, "total": total, "seconds": seconds, "minutes": minutes,
        "extrapolated": done < total,
    }  # fmt: skip


if __name__ == "__main__":
    from tfmeta.cli import experiment_command

    experiment_command("runtime")()
