"""Jobs: what a client is told for one round (section 2; ledger 16, 17, 19).

A job names the files that hold the client's images, so it stays small wherever the client runs.
"""

import collections
from pathlib import Path
from typing import Any

import numpy as np

from tfmeta.config import Config
from tfmeta.datasets.shares import ATTACKER
from tfmeta.federated.client_data import ClientData
from tfmeta.federated.rounds import meta_step_size
from tfmeta.utils import seeds

# name -> (numpy type, number of axes of unknown or given length, default, meaning)
_FIELDS = {
    "user": (np.str_, (), "", "the user's name, for messages"),
    "shards": (np.str_, (None,), (), "the files with the user's images"),
    "counts": (np.int32, (None,), (), "images of each class in them"),
    "seed": (np.int32, (2,), (0, 0), "seed of the round"),
    "meta_step_size": (np.float32, (), 0.0, "meta step size"),
    "first_episode": (np.int32, (), 0, "number of the first episode"),
    "meta_batches": (np.int32, (), 0, "number of meta-batches"),
    "alpha": (np.float32, (), 1.0, "weight of the update"),
    "boost": (np.float32, (), 1.0, "lambda for the attacker, else 1"),
    "prepared": (np.str_, (), "", "file with weights trained beforehand (the attacker's), or empty"),
    "target": (np.str_, (), "", "file with the attacker's target images, or empty"),
    "triggered": (np.str_, (), "", "file with the attacker's triggered images, or empty"),
}
Job = collections.namedtuple("Job", _FIELDS)
Job.__doc__ = "One client's work in one round: " + "; ".join(f"`{name}`: {row[3]}" for name, row in _FIELDS.items())

JOB_TYPES = {name: row[:2] for name, row in _FIELDS.items()}  # name -> (numpy type, shape), in a graph and in TFF


def make_job(**given: Any) -> Job:
    """Return a job of arrays in their types; fields that are not given get their defaults."""
    if unknown := given.keys() - _FIELDS.keys():
        raise TypeError(f"a job has no fields {sorted(unknown)}; choose from {', '.join(_FIELDS)}")
    values = [(given.get(name, default), kind, shape) for name, (kind, shape, default, _) in _FIELDS.items()]
    return Job(*(np.asarray(value, kind) if shape else kind(value) for value, kind, shape in values))


def benign_job(
    data: ClientData, config: Config, user: int, knows_backdoor: bool, stage: str, number: int, episodes: int
) -> Job:
    """Return a benign user's job for a round of a stage ("pretraining" or "federation").

    Args:
        data: The clients' images; with `knows_backdoor` those of the backdoor classes too.
        config: The run's configuration.
        user: 2, 3 or 4.
        episodes: Episodes to train on (E in the paper).
    """
    learning, (shards, counts) = config.meta_learning, data.benign(user, knows_backdoor)
    seed = seeds.derive(learning.seed, stage, "round", number, "user", user)
    step = meta_step_size(config, number) if stage == "pretraining" else learning.meta_step_size_final
    meta_batches = episodes // learning.meta_batch_size
    return _job(config, user, shards=shards, counts=counts, seed=seed, meta_step_size=step, meta_batches=meta_batches)


def attacker_chunk_job(data: ClientData, config: Config, first: int) -> Job:
    """Return the attacker's job for the chunk of its training that starts with episode `first`."""
    shards, counts, target, triggered = data.attacker()
    episodes = min(config.attack.checkpoint_episodes, config.attack.episodes - first)
    return _job(
        config, ATTACKER, shards=shards, counts=counts, target=target, triggered=triggered, first_episode=first,
        seed=seeds.derive(config.meta_learning.seed, "attack"), meta_step_size=config.attack.meta_step_size,
        meta_batches=episodes // config.meta_learning.meta_batch_size,
    )  # fmt: skip


def attacker_job(config: Config, prepared: Path) -> Job:
    """Return the attacker's job in its round: send the weights in the file `prepared`, boosted by lambda."""
    seed = seeds.derive(config.meta_learning.seed, "attack")
    return _job(config, ATTACKER, seed=seed, boost=config.attack.boost, prepared=str(prepared))


def _job(config, user, **given):
    return make_job(user=f"user {user}", alpha=config.federation.alpha, **given)
