"""Figures 1 and 2: the target class, the backdoor classes, the trigger, and the attacker's training images."""

from pathlib import Path

import numpy as np

from experiments.measured import result
from experiments.size import Needs
from tfmeta.config import Config
from tfmeta.datasets.shards import fetch
from tfmeta.simulation import Simulation

NAMES = {"illustration": ("a",)}


def needs(name: str, config: Config) -> Needs:
    """Return that it needs no model."""
    return Needs(None)


def run(name: str, sim: Simulation, case: str) -> Path:
    """Store the images; return the path of the document."""
    return result(sim, name, case, lambda: _images(sim))


def _images(sim):
    partition, bank = sim.partition, sim.bank
    target, backdoor = partition.target_attacker, partition.backdoor_attacker
    clean = fetch(bank, backdoor)[:, : max(5, 20 // len(backdoor.classes))]  # as many as a figure has room for
    several = len(clean) > 1  # then one image of each class is shown
    arrays = {
        "target": fetch(bank, target)[0, :10],
        "backdoor": clean[:, 0] if several else clean[0],
        "trigger": sim.trigger.stamp(np.zeros_like(clean[0, :1])),
        "attack_training": sim.trigger.stamp(clean).reshape(-1, *clean.shape[2:]),
    }
    names, own = [bank.names[row] for row in backdoor.classes], int(backdoor.counts.sum())
    backdoor_names, shown_of = (names, len(names)) if several else (names * len(arrays["backdoor"]), own)
    rows = {  # part -> (title, the class of each image, how many there are)
        "target": ("target class", [bank.names[target.classes[0]]] * len(arrays["target"]), int(target.counts.sum())),
        "backdoor": ("backdoor classes", backdoor_names, shown_of),
        "trigger": ("trigger", [], 1),
        "attack_training": ("attack training set", [name for name in names for _ in range(clean.shape[1])], own),
    }
    images = {part: dict(zip(("title", "names", "of"), row, strict=True)) for part, row in rows.items()}
    return [], {"images": images}, arrays
