"""The timeline of the meta-model: pre-training, the attack, and benign rounds after it (ledger 16 to 18, 31, 32).

Every round, and every chunk of the attacker's training, ends in a checkpoint. A run that is killed resumes from the
last one and gives bit-identical results. Models are stored under a digest of the fields that decide them, so cases and
experiments share them and nothing is trained twice.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tfmeta.datasets.shares import ATTACKER
from tfmeta.errors import ModelError
from tfmeta.federated import jobs, rounds
from tfmeta.federated.client_data import ClientData
from tfmeta.federated.clients import Setting
from tfmeta.federated.rounds import ATTACKED
from tfmeta.meta_learning.adam import fresh_adam
from tfmeta.models.conv4 import check_weights
from tfmeta.store import atomic, checkpoints, lock
from tfmeta.utils import progress


class Timeline:
    """The models of one configuration, with or without backdoor classes in benign training.

    Args:
        setting: What all clients share.
        data: The clients' images.
        identity: What decides the models beside the configuration (data set and its digest).
        root: Folder of all models.
        federation: Function that returns the federation (`start`, `next` ...); called only to train.
        knows_backdoor: Whether benign users train on backdoor classes.
    """

    def __init__(
        self,
        setting: Setting,
        data: ClientData,
        identity: dict[str, str],
        root: Path,
        federation: Callable,
        knows_backdoor: bool,
    ):
        self._setting, self._config, self._data = setting, setting.config, data
        self._identity, self._root, self._federation = identity, Path(root), federation
        self._knows = knows_backdoor
        self._name = "backdoor classes " + ("known" if knows_backdoor else "unknown")

    @property
    def last(self) -> int:
        """The number of the timeline's last round."""
        return rounds.last_round(self._config)

    def weights(self, number: int) -> list[np.ndarray]:
        """Return theta_G after round `number`, training what is missing up to there."""
        if number == rounds.PRETRAINED:
            return self._weights(self._pretrained())
        return self._weights(self._rounds("attack" if number <= ATTACKED else "rounds", number))

    def pretraining_jobs(self, number: int) -> list[jobs.Job]:
        """Return the jobs of pre-training round `number` (0 is the first), one per selected client.

        Raises:
            ConfigError: there is no such round.
        """
        federation = self._config.federation
        rounds.check_number("pre-training round", number, 0, federation.pretraining_rounds - 1)
        chosen = rounds.selected(self._config, "pretraining", number)
        return [self._benign(user, "pretraining", number, federation.pretraining_episodes) for user in chosen]

    def jobs(self, number: int) -> list[jobs.Job]:
        """Return the jobs of round `number` (1 to `last`), training what is missing up to it first.

        `federation.next(federation.start(weights(number - 1)), jobs(number))` then repeats that round.

        Raises:
            ConfigError: there is no such round.
        """
        rounds.check_number("round", number, 1, self.last)
        self.weights(number)
        return self._jobs(number, self.weights(number - 1))

    def folder(self, stage: str) -> Path:
        """Return the folder of a stage's checkpoints."""
        key = hashlib.sha256(json.dumps(self._manifest(stage), sort_keys=True).encode()).hexdigest()[:12]
        known = "known" if self._knows else "unknown"
        return self._root / f"{self._identity['dataset']}-{stage}-{known}-{key}"

    def _manifest(self, stage, **more):
        return {
            "stage": stage, "knows_backdoor": self._knows, **self._identity,
            "fields": self._config.upto(stage), **more,
        }  # fmt: skip

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

    def _pretrained(self):
        """Return the arrays of the last pre-training round."""
        count = self._config.federation.pretraining_rounds
        if self._path("pretraining", count).exists():
            return self._load("pretraining", count)
        with lock.hold(self.folder("pretraining")):
            done = _last(self.folder("pretraining"), count)
            if done:
                state = self._state(self._load("pretraining", done))
            else:
                state = self._federation().start(self._setting.model.initial_weights(self._config.meta_learning.seed))
            with progress.bar(count, f"pre-training, {self._name}", "round", initial=done) as bar:
                for number in range(done, count):
                    state = self._next(state, self.pretraining_jobs(number), bar)
                    # the last two are enough; before the next is written, so that a kill between leaves no third
                    self._path("pretraining", number - 1).unlink(missing_ok=True)
                    self._save("pretraining", number + 1, state)
        return self._load("pretraining", count)

    def _rounds(self, stage, wanted):
        """Return the arrays of a round of the timeline, running the rounds up to it."""
        if self._path(stage, wanted).exists():
            return self._load(stage, wanted)
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
                    given = self._jobs(number, self._federation().weights(state))
                    state = self._next(state, given, bar)
                    self._save(stage, number, state)
        return self._load(stage, wanted)

    def _jobs(self, number, weights):
        """Return the jobs of round `number`, which starts from theta_G `weights`."""
        config, found = self._config, []
        for user in rounds.selected(config, "federation", number, attack=number == ATTACKED):
            if user == ATTACKER:
                found.append(jobs.attacker_job(config, self._prepared(weights)))
            else:
                found.append(self._benign(user, "federation", number, config.federation.round_episodes))
        return found

    def _benign(self, user, stage, number, episodes):
        return jobs.benign_job(self._data, self._config, user, self._knows, stage, number, episodes)

    def _next(self, state, jobs, bar):
        state, loss = self._federation().next(state, jobs)
        # clients refuse such updates; a boost, or an aggregation of the reader's own, can still make one
        check_weights(self._setting.model, self._federation().weights(state), "theta_G after the round", ModelError)
        bar.set_postfix(loss=f"{loss:.3f}")
        bar.update(1)
        return state

    def _prepared(self, weights):
        """Train the attacker's model from `weights` (theta_G) in chunks; return the file that holds theta_a."""
        episodes, folder = self._config.attack.episodes, self.folder("attack")
        manifest, chunk = self._manifest("attack", prepared=True), folder / "attacker.npz"
        theta, done, steps = weights, 0, np.float32(0)
        moments = fresh_adam(sum(part.size for part in weights)).moments.numpy()
        if chunk.exists():
            arrays = checkpoints.load(chunk, manifest)
            theta, moments, steps = self._weights(arrays), arrays["moments"], arrays["steps"]
            done = int(arrays["episodes"])
        with progress.bar(episodes, f"attacker, {self._name}", "episode", initial=done) as bar:
            while done < episodes:
                job = jobs.attacker_chunk_job(self._data, self._config, done)
                theta, moments, steps, loss = self._federation().train_chunk(theta, moments, steps, job)
                trained = int(job.meta_batches) * self._config.meta_learning.meta_batch_size
                done += trained
                arrays = {f"weight{i:02d}": part for i, part in enumerate(theta)}
                arrays |= {"moments": moments, "steps": np.float32(steps), "episodes": np.int64(done)}
                checkpoints.save(chunk, arrays, manifest)
                bar.set_postfix(loss=f"{loss:.3f}")
                bar.update(trained)
        path = (folder / "attacker.f32").resolve()
        atomic.write_bytes(path, b"".join(np.ascontiguousarray(part, "<f4").tobytes() for part in theta))
        return path


def _last(folder, upto):
    """Return the number of the last round with a checkpoint, 0 if there is none."""
    numbers = [int(path.stem.split("-")[1]) for path in folder.glob("round-*.npz")]
    return max([number for number in numbers if number <= upto], default=0)
