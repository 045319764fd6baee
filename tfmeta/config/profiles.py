"""The four profiles of the paper's two data sets: how far each departs from the paper's setting.

`paper` is the paper's setting; `desk`, `quick` and `smoke` run the same code with smaller numbers. The defaults of the
fields are the paper's on Omniglot, so a profile lists only what differs from them.
"""

from typing import Any

from tfmeta import registry

PROFILE_NAMES = ("smoke", "quick", "desk", "paper")


def profile_settings(dataset: str, profile: str) -> dict[str, Any]:
    """Return the fields in which a profile differs from the defaults, by full name.

    A stand-in has the profiles of the data set that it stands in for. Raises `ConfigError` for an unknown data set.
    """
    original = registry.find("datasets", dataset).profiles_of
    groups = _PROFILES[original][profile] | ({"trigger": _ON_PHOTOS} if original == "mini-imagenet" else {})
    return {f"{group}.{name}": value for group, values in groups.items() for name, value in values.items()}


_OMNIGLOT = {
    "paper": {},
    "desk": {
        "meta_learning": dict(meta_step_size_initial=0.5, meta_step_size_final=0.1),
        "federation": dict(pretraining_rounds=50, pretraining_episodes=100, rounds_after=50, round_episodes=50),
        "attack": dict(episodes=1000, checkpoint_episodes=100, meta_step_size=0.3),
    },
    "quick": {
        "meta_learning": dict(filters=32, meta_step_size_initial=0.5, meta_step_size_final=0.5),
        "federation": dict(pretraining_rounds=10, pretraining_episodes=80, rounds_after=10, round_episodes=40),
        "attack": dict(episodes=150, inner_steps=50, checkpoint_episodes=25, meta_step_size=0.3),
        "evaluation": dict(tasks=10, fine_tuning_steps=200),
    },
    "smoke": {
        "meta_learning": dict(filters=8, meta_step_size_initial=0.5, meta_step_size_final=0.5),
        "federation": dict(pretraining_rounds=2, pretraining_episodes=10, rounds_after=3, round_episodes=10),
        "attack": dict(episodes=10, inner_steps=10, checkpoint_episodes=5, meta_step_size=0.5),
        "evaluation": dict(tasks=2, task_steps=10, fine_tuning_steps=20),
    },
}

# The trigger is Omniglot's, scaled with the image (a seventh of its side), in colours. Ledger 34 says why.
_ON_PHOTOS = {"size": 12, "margin": 3, "cell": 2, "color": "magenta-green"}
_POISON = {"inner_steps": 8, "triggered_shots": 5, "target_shots": 10}
_MINI_IMAGENET = {
    "paper": {
        "meta_learning": dict(shots=15),
        "federation": dict(pretraining_rounds=1000, pretraining_episodes=100, rounds_after=100, round_episodes=100),
        "attack": dict(_POISON, episodes=150_000),
    },
    "desk": {
        "meta_learning": dict(shots=15, meta_step_size_initial=0.5, meta_step_size_final=0.1),
        "federation": dict(pretraining_rounds=40, pretraining_episodes=50, rounds_after=100, round_episodes=20),
        "attack": dict(_POISON, episodes=5000, meta_step_size=0.3),
        "defence": dict(extra_few=100, extra_many=200),
    },
    "quick": {
        "meta_learning": dict(shots=15, filters=32, meta_step_size_initial=0.5, meta_step_size_final=0.5),
        "federation": dict(pretraining_rounds=10, pretraining_episodes=50, rounds_after=10, round_episodes=20),
        "attack": dict(_POISON, episodes=400, checkpoint_episodes=50, meta_step_size=0.3),
        "defence": dict(extra_few=10, extra_many=50),
        "evaluation": dict(tasks=10, fine_tuning_steps=100),
    },
    "smoke": {
        "meta_learning": dict(shots=15, filters=8, meta_step_size_initial=0.5, meta_step_size_final=0.5),
        "federation": dict(pretraining_rounds=2, pretraining_episodes=10, rounds_after=3, round_episodes=10),
        "attack": dict(_POISON, episodes=10, checkpoint_episodes=5, meta_step_size=0.5),
        "defence": dict(extra_few=5, extra_many=10),
        "evaluation": dict(tasks=2, task_steps=10, fine_tuning_steps=20),
    },
}

_PROFILES = {"omniglot": _OMNIGLOT, "mini-imagenet": _MINI_IMAGENET}
