"""The timeline of the meta-model: pre-training, the attack, benign rounds after it (ledger 16 to 18, 31, 32).

Every round, and every chunk of the attacker's training, ends in a checkpoint; a run that is killed goes on from
the last one and ends with the same bits. Models are kept under a digest of the fields that decide them, so cases
and experiments share them and nothing is trained twice.

On the timeline x = 0 is the pre-trained model, x = 1 the same after one benign round, x = 2 the attacked model
(ledger 18), x = 3 and on benign rounds.
"""

import hashlib
import json
import logging
from pathlib import Path

import numpy as np

from tfmeta import progress, users
from tfmeta.errors import ConfigError, ModelError
from tfmeta.models.conv4 import check_weights
from tfmeta.reptile import fresh_adam
from tfmeta.store import atomic, checkpoints, lock
from tfmeta.tasks import ATTACKED

_log = logging.getLogger(__name__)


class Timeline:
    """The models of one configuration, with (``knows_backdoor``) or without backdoor classes in benign banks.

    Args:
      setting: ``client.Setting``.
      banks: ``users.Banks``.
      identity: dict of what decides the models beside the configuration (data set and digest).
      root: folder of all models.
      federation: function that returns the federation (``start``, ``next`` ...); called only to train.
      knows_backdoor: whether benign users train on backdoor classes.
    """

    def __init__(self, setting, banks, identity, root, federation, knows_backdoor):
        self._setting, self._config, self._banks = setting, setting.config, banks
        self._identity, self._root, self._federation = identity, Path(root), federation
        self._knows = knows_backdoor
        self._name = "backdoor classes " + ("known" if knows_backdoor else "unknown")

    @property
    def last(self):
        """The timeline's last x."""
        return ATTACKED + self._config.rounds_after

    def model(self, x):
        """Return theta_G at ``x`` as a list of arrays, training what is missing up to there."""
        if x == 0:
            return self._weights(self._pretrained())
        if x <= ATTACKED:
            return self._weights(self._rounds("attack", x))
        return self._weights(self._rounds("rounds", x))

    def pretraining_jobs(self, number):
        """Return the jobs (``client.Job``) of pre-training round ``number``, 0 the first: one a selected user.

        Raises ``ConfigError`` where there is no such round.
        """
        config = self._config
        _check_number("pre-training round", number, 0, config.pretraining_rounds - 1)
        chosen = users.selected(config, "pretraining", number)
        return [self._benign(user, "pretraining", number, config.pretraining_episodes) for user in chosen]

    def jobs(self, x):
        """Return the jobs of the round that makes the model at ``x`` (1 to ``last``) from the one at x - 1.

        What is missing up to ``x`` is trained first, the attacker's long training (x = 2) included. Then
        ``federation.next(federation.start(model(x - 1)), jobs(x))`` is that round once more. Raises ``ConfigError``.
        """
        _check_number("x =", x, 1, self.last)
        self.model(x)
        return self._jobs(x, self.model(x - 1))

    def folder(self, stage):
        """Return the folder of a stage's checkpoints."""
        key = hashlib.sha256(json.dumps(self._manifest(stage), sort_keys=True).encode()).hexdigest()[:12]
        known = "known" if self._knows else "unknown"
        return self._root / f"{self._identity['dataset']}-{stage}-{known}-{key}"

    def _manifest(self, stage, **more):
        return {
            "stage": stage, "knows_backdoor": self._knows, **self._identity,
            "fields": self._config.upto(stage), **more,
        }  # fmt: skip

    # --- checkpoints ----------------------------------------------------------------------------------

    def _path(self, stage, number):
        return self.folder(stage) / f"round-{number:05d}.npz"

    def _load(self, stage, number):
        return checkpoints.load(self._path(stage, number), self._manifest(stage, round=number))

    def _save(self, stage, number, state):
        arrays = self._federation().to_arrays(state)
        weights = {f"weight{i:02d}": part for i, part in enumerate(self._federation().weights(state))}
        checkpoints.save(self._path(stage, number), {**arrays, **weights}, self._manifest(stage, round=number))

    def _weights(self, arrays):
        return [arrays[name] for name in sorted(arrays) if name.startswith("weight")]

    def _state(self, arrays):
        return self._federation().from_arrays({k: v for k, v in arrays.items() if k.startswith("state")})

    # --- stages ---------------------------------------------------------------------------------------

    def _pretrained(self):
        """Return the arrays of the last pre-training round."""
        config, rounds = self._config, self._config.pretraining_rounds
        if self._path("pretraining", rounds).exists():
            return self._load("pretraining", rounds)
        with lock.hold(self.folder("pretraining")):
            done = _last(self.folder("pretraining"), rounds)
            if done:
                state = self._state(self._load("pretraining", done))
            else:
                state = self._federation().start(self._setting.model.initial_weights(config.seed))
            with progress.bar(rounds, f"pre-training, {self._name}", "round", initial=done) as bar:
                for number in range(done, rounds):
                    state = self._next(state, self.pretraining_jobs(number), bar)
                    # the last two are enough; before the next is written, so that a kill between leaves no third
                    self._path("pretraining", number - 1).unlink(missing_ok=True)
                    self._save("pretraining", number + 1, state)
        return self._load("pretraining", rounds)

    def _rounds(self, stage, x):
        """Return the arrays of round ``x`` of the timeline, running the rounds up to it."""
        if self._path(stage, x).exists():
            return self._load(stage, x)
        first = 1 if stage == "attack" else ATTACKED + 1
        last = ATTACKED if stage == "attack" else self.last
        before = self._pretrained() if stage == "attack" else self._rounds("attack", ATTACKED)
        with lock.hold(self.folder(stage)):
            done = _last(self.folder(stage), last)
            state = self._state(self._load(stage, done) if done else before)
            begin = max(done + 1, first)
            label = "attack" if stage == "attack" else "benign rounds after the attack"
            with progress.bar(last - first + 1, f"{label}, {self._name}", "round", initial=begin - first) as bar:
                for number in range(begin, last + 1):
                    jobs = self._jobs(number, self._federation().weights(state))
                    state = self._next(state, jobs, bar)
                    self._save(stage, number, state)
        return self._load(stage, x)

    def _jobs(self, number, weights):
        """Return the jobs of the round that makes the model at x = ``number`` from theta_G ``weights``."""
        config, attack = self._config, number == ATTACKED
        jobs = []
        for user in users.selected(config, "federation", number, attack):
            if user == users.ATTACKER:
                jobs.append(users.attacker_job(config, self._prepared(weights)))
            else:
                jobs.append(self._benign(user, "federation", number, config.round_episodes))
        return jobs

    def _benign(self, user, stage, number, episodes):
        return users.benign_job(self._banks, self._config, user, self._knows, stage, number, episodes)

    def _next(self, state, jobs, bar):
        state, loss = self._federation().next(state, jobs)
        # clients refuse such updates; a boost, or an aggregation of the reader's own, can still make one
        check_weights(self._setting.model, self._federation().weights(state), "theta_G after the round", ModelError)
        bar.set_postfix(loss=f"{loss:.3f}")
        bar.update(1)
        return state

    # --- the attacker's long training -----------------------------------------------------------------

    def _prepared(self, weights):
        """Train the attacker's model from ``weights`` (theta_G) in chunks; return the file that holds theta_a."""
        config, folder = self._config, self.folder("attack")
        manifest = self._manifest("attack", prepared=True)
        done, moments, steps = (
            0,
            fresh_adam(sum(part.size for part in weights)).moments.numpy(),
            np.float32(0),
        )
        theta = weights
        chunk = folder / "attacker.npz"
        if chunk.exists():
            arrays = checkpoints.load(chunk, manifest)
            theta, moments, steps = self._weights(arrays), arrays["moments"], arrays["steps"]
            done = int(arrays["episodes"])
        with progress.bar(config.attack_episodes, f"attacker, {self._name}", "episode", initial=done) as bar:
            while done < config.attack_episodes:
                job = users.attacker_chunk_job(self._banks, config, done)
                theta, moments, steps, loss = self._federation().train_chunk(theta, moments, steps, job)
                trained = int(job.meta_batches) * config.meta_batch
                done += trained
                arrays = {f"weight{i:02d}": part for i, part in enumerate(theta)}
                arrays |= {"moments": moments, "steps": np.float32(steps), "episodes": np.int64(done)}
                checkpoints.save(chunk, arrays, manifest)
                bar.set_postfix(loss=f"{loss:.3f}")
                bar.update(trained)
        path = (folder / "attacker.f32").resolve()
        atomic.write_bytes(path, b"".join(np.ascontiguousarray(part, "<f4").tobytes() for part in theta))
        return path


def _check_number(what, number, low, high):
    if not low <= number <= high:
        raise ConfigError(f"{what} {number}: there is none; choose {low} to {high}")


def _last(folder, upto):
    """Return the number of the last round with a checkpoint, 0 if there is none."""
    numbers = [int(path.stem.split("-")[1]) for path in folder.glob("round-*.npz")]
    return max([number for number in numbers if number <= upto], default=0)
