"""Bad attacks through TFF: what is checked in the graph is checked in the worker, too."""

import numpy as np
import pytest
from attack_plugins import BAD_EPISODES, BAD_LABELS, BAD_UPDATES, BAD_VALUES, NAN_UPDATE, Same, registered
from core_fixtures import Scene, flat

from tfmeta.errors import ClientUpdateError, PluginError
from tfmeta.federated.tff.federation import TffFederation

pytestmark = pytest.mark.slow  # importing TFF alone takes 6 s


@pytest.fixture
def opened(tmp_path):
    """Return a function that opens a federation with an attack, and its scene."""

    def of(attack):
        scene = Scene(tmp_path / attack.__name__, attack_name=attack.__name__.lower())
        return TffFederation(scene.setting, tmp_path / "worker.log"), scene

    return of


@pytest.mark.parametrize("attack", [next(iter(BAD_EPISODES)), next(iter(BAD_UPDATES))])
def test_a_hook_of_another_shape_is_refused_before_the_worker_starts(opened, attack):
    with registered(attack), pytest.raises(PluginError, match=f"the attack {attack.__name__.lower()}"):
        opened(attack)


@pytest.mark.parametrize(
    ("attack", "words"), [(BAD_LABELS[0], "user 1 drew a label out of range"), (BAD_VALUES[0], "user 1 trained to NaN")]
)
def test_what_a_chunk_must_not_do_is_refused_with_user_and_attack(opened, attack, words):
    with registered(attack, Same):
        federation, scene = opened(attack)
        with federation, pytest.raises(ClientUpdateError, match=f"{words}.* of the attack {attack.__name__.lower()}"):
            moments = np.zeros(flat(scene.weights).size, np.float32)
            federation.train_chunk(scene.weights, moments, 0, scene.chunk_job(0, 1))


def test_an_update_of_nan_fails_the_round_and_leaves_the_state(opened):
    with registered(NAN_UPDATE):
        federation, scene = opened(NAN_UPDATE)
        with federation:
            state = federation.start(scene.weights)
            before = federation.to_arrays(state)
            with pytest.raises(ClientUpdateError, match=r"user 1 sent NaN or infinity; .*the state is unchanged"):
                federation.next(state, [scene.prepared_job(flat(scene.weights)), scene.job()])
            after = federation.to_arrays(state)
            assert all((before[name] == after[name]).all() for name in before)
            federation.next(state, [scene.job()])  # and the federation works on
