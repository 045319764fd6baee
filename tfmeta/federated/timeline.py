"""The timeline of the meta-model: pre-training, the attack, and benign rounds after it (ledger 16 to 18, 31, 32).

Every round, and every chunk of an attacker's training, ends in a checkpoint. A run that is killed resumes from the
last one and gives bit-identical results. Models are stored under a digest of the fields that decide them, so cases and
experiments share them and nothing is trained twice.
"""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfmeta.config import legacy
from tfmeta.config.attack import FIRST_ROUND
from tfmeta.errors import ModelError
from tfmeta.federated import jobs, rounds
from tfmeta.federated.client_data import ClientData
from tfmeta.federated.clients import Setting
from tfmeta.meta_learning.adam import fresh_adam
from tfmeta.models.base import check_weights
from tfmeta.store import lock, sealed
from tfmeta.store.compare import OUTSIDE
from tfmeta.store.reuse import StoredFiles
from tfmeta.utils import progress

_ROUND = re.compile(r"round-([0-9]{5,})\.npz")
_OWN = re.compile(r"round-[0-9]{5,}\.npz|attacker(-[0-9]+-round-[0-9]{5,})?(\.npz|(-[0-9a-f]{20})?\.f32)")
_UNSEALED = re.compile(r"attacker(-[0-9]+-round-[0-9]{5,})?\.f32")  # theta_a, as older versions kept it


class Timeline:
    """The models of one configuration, with or without backdoor classes in benign training.

    Args:
        setting: What all clients share.
        data: The clients' images.
        identity: Function of a stage that returns what decides its models beside the configuration: `dataset`, its
            `digest`, and what `plugins.identity.identity` returns.
        root: Folder of all models.
        federation: Function that returns the federation; called only to train.
        knows_backdoor: Whether benign users train on backdoor classes.
        stored: The run's stored files, and what to do with those of other code.
    """

    def __init__(
        self, setting: Setting, data: ClientData, identity: Callable[[str], dict[str, Any]], root: Path,
        federation: Callable, knows_backdoor: bool, stored: StoredFiles | None = None,
    ):  # fmt: skip
        self._setting, self._config, self._data = setting, setting.config, data
        self._identity, self._root, self._federation, self._knows = identity, Path(root), federation, knows_backdoor
        self._stored = stored or StoredFiles()

    @property
    def _attacked(self):
        return rounds.attacked(self._config)

    @property
    def last(self) -> int:
        """The number of the timeline's last round."""
        return rounds.last_round(self._config)

    def weights(self, number: int) -> list[np.ndarray]:
        """Return theta_G after round `number` (float32 arrays), training what is missing up to there."""
        if number == rounds.PRETRAINED:
            return _weights(self._stage("pretraining", self._config.federation.pretraining_rounds))
        return _weights(self._stage("attack" if number <= self._attacked else "rounds", number))

    def pretraining_jobs(self, number: int) -> list[jobs.Job]:
        """Return the jobs of pre-training round `number` (from 0), one per client, or raise `ConfigError`."""
        federation = self._config.federation
        rounds.check_number("pre-training round", number, 0, federation.pretraining_rounds - 1)
        chosen = rounds.selected(self._config, "pretraining", number)
        return [self._benign(user, "pretraining", number, federation.pretraining_episodes) for user in chosen]

    def jobs(self, number: int) -> list[jobs.Job]:
        """Return the jobs of round `number` (1 to `last`), training what is missing up to it, or raise `ConfigError`.

        `federation.next(federation.start(weights(number - 1)), jobs(number))` then repeats that round.
        """
        rounds.check_number("round", number, 1, self.last)
        self.weights(number)
        return self._jobs(number, self.weights(number - 1))

    def folder(self, stage: str) -> Path:
        """Return the folder of a stage's checkpoints.

        Its name has a digest of what decides them, but not of the package's code, which is compared when they are read.
        """
        manifest = self._manifest(stage)
        plugins, _ = manifest.pop("plugins", {}), manifest.pop("code", None)
        outside = {kind: entry for kind, entry in plugins.items() if entry["origin"] == OUTSIDE}
        # without fields that were added later and have the value of before, so that older runs are found
        decisive = {**manifest, "fields": legacy.without(manifest["fields"])}
        decisive |= {"plugins": outside} if outside else {}
        key = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]
        return self._root / f"{manifest['dataset']}-{stage}-{'known' if self._knows else 'unknown'}-{key}"

    def _manifest(self, stage, **more):
        fields = self._config.upto(stage)
        return {"stage": stage, "knows_backdoor": self._knows, **self._identity(stage), "fields": fields, **more}

    def _path(self, stage, number):
        return self.folder(stage) / f"round-{number:05d}.npz"

    def _load(self, stage, number):
        """Return the arrays after a round, or None if it has to be computed."""
        return self._stored.load(self._path(stage, number), self._manifest(stage, round=number))

    def _save(self, stage, number, state):
        arrays = self._federation().to_arrays(state) | _named(self._federation().weights(state))
        self._stored.save(self._path(stage, number), arrays, self._manifest(stage, round=number))

    def _clear(self, stage):
        """Remove a stage's checkpoints, before it is computed again from its start."""
        for path in self._own(stage, _OWN):
            path.unlink(missing_ok=True)

    def _own(self, stage, name):
        """Return the files of a stage whose names match; what else lies in its folder is not ours."""
        folder = self.folder(stage)
        there = folder.iterdir() if folder.is_dir() else ()
        return [path for path in there if name.fullmatch(path.name) and not path.is_dir()]

    def _last_done(self, stage, last, stale):
        """Return the last round that training can go on from, and its arrays; remove what it cannot go on from."""
        folder = self.folder(stage)
        names = (_ROUND.fullmatch(path.name) for path in (folder.iterdir() if folder.is_dir() else ()))
        done = max((number for name in names if name and 0 < (number := int(name[1])) <= last), default=0)
        arrays = self._load(stage, done) if done and not stale else None
        if done and arrays is None:
            self._clear(stage)
        return (done, arrays) if arrays else (0, None)

    def _state(self, arrays):
        if arrays is None:
            return self._federation().start(self._setting.model.initial_weights(self._config.meta_learning.seed))
        return self._federation().from_arrays({k: v for k, v in arrays.items() if k.startswith("state")})

    def _bar(self, total, what, unit, done):
        return progress.bar(total, f"{what} with{'' if self._knows else 'out'} backdoor classes", unit, initial=done)

    def _stage(self, stage, wanted):
        """Return the arrays after a round, training the stage and the stages before it as far as they are missing."""
        arrays = self._load(stage, wanted)
        if arrays is not None:
            return arrays
        with self._stored.collecting():  # so that checkpoints say which of those before them were only accepted
            self._train(stage, wanted)
        return self._load(stage, wanted)

    def _train(self, stage, wanted):
        stale = self._path(stage, wanted).exists()  # of other code, or else it would have been loaded
        count = self._config.federation.pretraining_rounds
        if stage == "pretraining":  # its checkpoints count from 1, its rounds from 0
            label, first, last, before = "pre-training", 1, count, None
        elif stage == "attack":
            label, first, last, before = "attack, benign users", 1, self._attacked, self._stage("pretraining", count)
        else:
            label, first, last = "benign rounds after the attack", self._attacked + 1, self.last
            before = self._stage("attack", self._attacked)
        with lock.hold(self.folder(stage)):
            for path in self._own(stage, _UNSEALED):
                path.unlink(missing_ok=True)
            done, arrays = self._last_done(stage, last, stale)
            state, begin = self._state(arrays or before), max(done + 1, first)
            with self._bar(last - first + 1, label, "round", begin - first) as bar:
                for number in range(begin, last + 1):
                    # what is not needed any more is removed before the next is written, so that no kill leaves it there
                    if stage == "pretraining":
                        state = self._next(state, self.pretraining_jobs(number - 1), bar)
                        self._path(stage, number - 2).unlink(missing_ok=True)  # two are enough
                    else:
                        of_round = self._jobs(number, self._federation().weights(state))
                        state = self._next(state, of_round, bar)
                        for prepared in filter(None, (job.prepared for job in of_round)):  # `jobs` writes it again
                            Path(prepared).unlink(missing_ok=True)
                    self._save(stage, number, state)

    def _jobs(self, number, weights):
        """Return the jobs of round `number`, which starts from theta_G `weights`."""
        attackers, episodes = self._config.federation.attacking, self._config.federation.round_episodes
        attack = number in rounds.with_attackers(self._config)
        return [
            self._attacker(user, number, weights) if user in attackers
            else self._benign(user, "federation", number, episodes)
            for user in rounds.selected(self._config, "federation", number, attack)
        ]  # fmt: skip

    def _attacker(self, user, number, weights):
        return jobs.attacker_job(self._data, self._config, user, number, self._prepared(user, number, weights))

    def _benign(self, user, stage, number, episodes):
        return jobs.benign_job(self._data, self._config, user, self._knows, stage, number, episodes)

    def _next(self, state, jobs, bar):
        state, loss = self._federation().next(state, jobs)
        # clients refuse such updates; a boost, or a user's own aggregation, can still make one
        check_weights(self._setting.model, self._federation().weights(state), "theta_G after the round", ModelError)
        bar.set_postfix(loss=f"{loss:.3f}")
        bar.update(1)
        return state

    def _prepared(self, user, number, weights):
        """Train an attacker's model for round `number` from `weights` (theta_G); return a sealed file with theta_a."""
        episodes, folder, name = self._config.attack.episodes, self.folder("attack"), "attacker"
        which, whose = {}, name
        if (user, number) != (1, FIRST_ROUND):  # the paper's one attacker and one attack need no numbers
            which, name = {"attacker": user, "round": number}, f"attacker-{user}-round-{number:05d}"
        if len(self._config.federation.attacking) > 1:
            whose += f" {user}"
        if len(rounds.with_attackers(self._config)) > 1:
            whose += f" in round {number}"
        manifest, chunk = self._manifest("attack", prepared=True, **which), folder / f"{name}.npz"
        theta, done, steps = weights, 0, np.float32(0)
        moments = fresh_adam(sum(part.size for part in weights)).moments.numpy()
        if (arrays := self._stored.load(chunk, manifest)) is not None:
            theta, moments, steps, done = _weights(arrays), arrays["moments"], arrays["steps"], int(arrays["episodes"])
        with self._bar(episodes, f"{whose}, benign users", "episode", done) as bar:
            while done < episodes:
                job = jobs.attacker_chunk_job(self._data, self._config, user, number, done)
                theta, moments, steps, loss = self._federation().train_chunk(theta, moments, steps, job, weights)
                trained = int(job.meta_batches) * self._config.meta_learning.meta_batch_size
                done += trained
                adam = {"moments": moments, "steps": np.float32(steps), "episodes": np.int64(done)}
                self._stored.save(chunk, _named(theta) | adam, manifest)
                bar.set_postfix(loss=f"{loss:.3f}")
                bar.update(trained)
        return sealed.replace(folder.resolve(), name, ".f32", [np.ascontiguousarray(part, "<f4") for part in theta])


def _named(weights):
    return {f"weight{number:02d}": part for number, part in enumerate(weights)}


def _weights(arrays):
    names = [name for name in arrays if name.startswith("weight")]
    return [arrays[name] for name in sorted(names, key=lambda name: int(name.removeprefix("weight")))]
