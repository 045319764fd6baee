"""What users own, as files and counts, and the jobs that they are given (ledger 12, 16, 17, 19)."""

import dataclasses

import numpy as np

from tfmeta import seeds
from tfmeta.client import Job
from tfmeta.data.partition import ATTACKER, BENIGN
from tfmeta.data.pools import fetch, pool_file, write_once


class Banks:
    """The users' banks of one data set and partition, written as files when first asked for.

    ``capacity``: pictures a class that the files have room for.
    """

    def __init__(self, bank, partition, trigger, config, folder):
        self._bank, self._partition, self._folder = bank, partition, folder
        self._trigger, self._config = trigger, config
        self.capacity = max(pool.examples.shape[1] for pool in partition.train.values())

    def benign(self, user, knows_backdoor):
        """Return a benign user's (paths, counts): own classes, the target class, and maybe backdoor classes."""
        pools = [self._partition.train[user], self._partition.target_benign[user]]
        if knows_backdoor:
            pools.append(self._partition.backdoor_benign[user])
        return self._files(pools)

    def attacker(self):
        """Return the attacker's (paths, counts) of benign classes, and the files of X_T and of keyed X_B."""
        paths, counts = self._files([self._partition.train[ATTACKER]])
        target, keyed = (
            str(write_once(self._folder, f"{self._bank.dataset}-pictures", pictures)) for pictures in self.poison()
        )
        return paths, counts, target, keyed

    def poison(self):
        """Return the attacker's own pictures, one behind the other: X_T and keyed X_B, each uint8 [n, H, W, C]."""
        target = self._pictures(self._partition.target_attacker, keyed=self._config.target_keyed)
        return target, self._pictures(self._partition.backdoor_attacker, keyed=True)

    def _files(self, pools):
        pools = [self._padded(pool) for pool in pools]
        paths = [str(pool_file(self._folder, self._bank, pool)) for pool in pools]
        return np.array(paths), np.concatenate([pool.counts for pool in pools])

    def _padded(self, pool):
        room = self.capacity - pool.examples.shape[1]
        return dataclasses.replace(pool, examples=np.pad(pool.examples, ((0, 0), (0, room)), constant_values=-1))

    def _pictures(self, pool, keyed):
        """Return a pool's pictures one behind the other, with the key where asked."""
        pictures = fetch(self._bank, pool)[pool.examples >= 0]
        return self._trigger.stamp(pictures) if keyed else pictures


def benign_job(banks, config, user, knows_backdoor, stage, number, episodes):
    """Return a benign user's ``Job`` for one round.

    Args:
      banks: ``Banks``.
      config: ``Config``.
      user: 2, 3 or 4.
      knows_backdoor: whether its bank holds the backdoor classes.
      stage, number: "pretraining" or "federation", and the round's number, for seed and outer step.
      episodes: E.
    """
    paths, counts = banks.benign(user, knows_backdoor)
    return _job(
        config, user, paths, counts,
        seed=seeds.derive(config.seed, stage, "round", number, "user", user),
        epsilon=epsilon_of(config, number) if stage == "pretraining" else config.epsilon_final,
        meta_batches=episodes // config.meta_batch,
    )  # fmt: skip


def attacker_chunk_job(banks, config, first):
    """Return the attacker's ``Job`` for the chunk of its training that begins with episode ``first``."""
    paths, counts, target, keyed = banks.attacker()
    episodes = min(config.attack_chunk, config.attack_episodes - first)
    return _job(
        config, ATTACKER, paths, counts,
        seed=seeds.derive(config.seed, "attack"), first=first, epsilon=config.attack_epsilon,
        meta_batches=episodes // config.meta_batch, target=target, keyed=keyed,
    )  # fmt: skip


def attacker_job(config, prepared):
    """Return the attacker's ``Job`` in its one round: send the prepared weights, boosted by lambda."""
    seed = seeds.derive(config.seed, "attack")
    return _job(
        config,
        ATTACKER,
        np.array([], str),
        np.array([], np.int32),
        seed=seed,
        boost=config.lambda_,
        prepared=str(prepared),
    )


def _job(config, user, paths, counts, **given):
    plain = dict(epsilon=0.0, first=0, meta_batches=0, boost=1.0, prepared="", target="", keyed="")
    values = {**plain, **given}
    for name in ("epsilon", "boost"):
        values[name] = np.float32(values[name])
    for name in ("first", "meta_batches"):
        values[name] = np.int32(values[name])
    return Job(user=f"user {user}", paths=paths, counts=counts, alpha=np.float32(config.alpha), **values)


def epsilon_of(config, number):
    """Return the outer step of a pre-training round: linear from initial to final (ledger 1)."""
    share = number / max(config.pretraining_rounds - 1, 1)
    return config.epsilon_initial + share * (config.epsilon_final - config.epsilon_initial)


def selected(config, stage, number, attack=False):
    """Return the users of a round, drawn by the seed: in the attack's, the attacker and M_r - 1 benign ones."""
    random = seeds.generator(config.seed, stage, "round", number, "selection")
    benign = config.clients_per_round - attack
    chosen = sorted(int(user) for user in random.choice(BENIGN, benign, replace=False))
    return [ATTACKER, *chosen] if attack else chosen
