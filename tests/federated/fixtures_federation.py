"""A federation small enough to be recomputed by hand: random images, a tiny Conv4, few steps."""

import core_fixtures
import numpy as np
import pytest

from tfmeta.config import make_config
from tfmeta.federated.client_data import ClientData
from tfmeta.federated.clients import Setting
from tfmeta.models.conv4 import Conv4

SMALL = dict(
    filters=4, meta_learning_inner_steps=2, attack_inner_steps=2, meta_batch_size=2, checkpoint_episodes=4,
    attack_episodes=8,
)  # fmt: skip


class Scene:
    """A setting with the clients' shards on disk, and a model's weights."""

    def __init__(self, folder, **overrides):
        self.config = make_config("omniglot", "smoke", **{**SMALL, **overrides})
        federation = self.config.federation
        partition = core_fixtures.partition(0, federation.users, federation.attackers)
        self.data = ClientData(core_fixtures.bank(), partition, core_fixtures.trigger(), self.config, folder)
        model = Conv4((28, 28, 1), 5, self.config.meta_learning.filters)
        self.setting = Setting(model, self.data.capacity, self.config)
        self.weights = self.setting.model.initial_weights(seed=3)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("shards"))


def prepared_file(path, weights):
    """Write weights as the attacker's prepared update."""
    path.write_bytes(np.concatenate([np.ravel(part) for part in weights]).astype("<f4").tobytes())
    return path
