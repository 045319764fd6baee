"""Jobs: what a client is told for one round (section 2; ledger 16, 17, 19).

A job names the files that hold the client's images, so it stays small wherever the client runs.
"""

import collections
from pathlib import Path
from typing import Any

import numpy as np

from tfmeta import registry
from tfmeta.config import Config
from tfmeta.config.attack import FIRST_ROUND
from tfmeta.config.config import boost_of
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
    "boost": (np.float32, (), 1.0, "what the aggregation multiplies the update with: lambda for an attacker, else 1"),
    "attacker": (np.int32, (), 0, "which of the attackers it is, from 0"),
    "prepared": (np.str_, (), "", "file with weights trained beforehand (an attacker's), or empty"),
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
        user: The user's number.
        episodes: Episodes to train on (E in the paper).
    """
    step = meta_step_size(config, number) if stage == "pretraining" else config.meta_learning.meta_step_size_final
    shards, counts = data.benign(user, knows_backdoor)
    seed = _benign_seed(config, stage, number, user)
    meta_batches = episodes // config.meta_learning.meta_batch_size
    return _job(config, user, shards=shards, counts=counts, seed=seed, meta_step_size=step, meta_batches=meta_batches)


def attacker_chunk_job(data: ClientData, config: Config, user: int, number: int, first: int) -> Job:
    """Return an attacker's job for the chunk of its training that starts with episode `first`.

    Args:
        data: The clients' images.
        config: The run's configuration.
        user: The attacker's number.
        number: The round in which the attacker sends what it trained.
        first: Number of the chunk's first episode.
    """
    shards, counts, target, triggered = data.attacker(user)
    episodes = min(config.attack.checkpoint_episodes, config.attack.episodes - first)
    return _attacker_job(
        config, user, shards=shards, counts=counts, target=target, triggered=triggered, first_episode=first,
        seed=_attack_seed(config, user, number), meta_step_size=config.attack.meta_step_size,
        meta_batches=episodes // config.meta_learning.meta_batch_size,
    )  # fmt: skip


def attacker_job(data: ClientData, config: Config, user: int, number: int, prepared: Path) -> Job:
    """Return an attacker's job in round `number`: send the weights in the file `prepared`, boosted by lambda.

    An attack that needs a reference also trains as a benign user would, on the attacker's own classes.
    """
    attack, learning, more = registry.build("attacks", config), config.meta_learning, {}
    if attack.needs_reference:
        (shards, counts, *_), episodes = data.attacker(user), config.federation.round_episodes
        more = dict(shards=shards, counts=counts, meta_step_size=learning.meta_step_size_final)
        more |= dict(meta_batches=episodes // learning.meta_batch_size)
        seed = _benign_seed(config, "federation", number, user)
    else:
        seed = _attack_seed(config, user, number)
    boost = boost_of(config) if attack.boosted else 1.0
    return _attacker_job(config, user, seed=seed, boost=boost, prepared=str(prepared), **more)


def _benign_seed(config, stage, number, user):
    return seeds.derive(config.meta_learning.seed, stage, "round", number, "user", user)


def _attack_seed(config, user, number):
    # the first attacker's first seed has a path of its own: that of the paper's one attacker and one attack
    path = () if (user, number) == (1, FIRST_ROUND) else ("round", number, "user", user)
    return seeds.derive(config.meta_learning.seed, "attack", *path)


def _attacker_job(config, user, **given):
    return _job(config, user, attacker=config.federation.attacking.index(user), **given)


def _job(config, user, **given):
    return make_job(user=f"user {user}", alpha=config.federation.alpha, **given)
