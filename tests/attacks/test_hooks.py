"""An attack's hooks change what the attacker trains on and sends, and bad ones are refused with the attack's name."""

import core_fixtures
import numpy as np
import pytest
from attack_plugins import (
    BAD_EPISODES,
    BAD_LABELS,
    BAD_TRAINING,
    BAD_UPDATES,
    BAD_VALUES,
    NAN_UPDATE,
    Close,
    Frozen,
    Halves,
    Hidden,
    Noisy,
    Same,
    registered,
)
from core_fixtures import Scene, flat

from tfmeta.errors import ClientUpdateError, PluginError
from tfmeta.federated.client_data import ClientData
from tfmeta.federated.in_process import InProcessFederation

TITLED = {"ids": lambda one: one.__name__ if isinstance(one, type) else ""}


@pytest.fixture
def scene(tmp_path):
    return lambda **fields: Scene(tmp_path / "-".join(map(str, fields.values())), **fields)


def of(attack, **fields):
    return {"attack_name": attack.__name__.lower(), **fields}


def chunk(scene, start=None, **job):
    moments = np.zeros(flat(scene.weights).size, np.float32)
    given = scene.chunk_job(0, meta_batches=2)._replace(**{name: np.int32(value) for name, value in job.items()})
    with InProcessFederation(scene.setting) as federation:
        return federation.train_chunk(scene.weights, moments, 0.0, given, start)


def trained(scene, **given):
    return flat(chunk(scene, **given)[0])


@pytest.mark.slow
def test_hooks_that_repeat_the_defaults_give_the_same_bits(scene):
    with registered(Same):
        ours = chunk(scene(**of(Same)))
    theirs = chunk(scene())
    assert trained(scene()).tobytes() == flat(theirs[0]).tobytes() == flat(ours[0]).tobytes()
    assert ours[1].tobytes() == theirs[1].tobytes() and ours[3] == theirs[3]


@pytest.mark.slow
def test_a_loss_sees_the_weights_that_the_round_started_from(scene):
    plain = trained(scene())
    with registered(Close):
        near = scene(**of(Close, strength=100.0))
        here = trained(near)
        away = trained(near, start=[part + 1 for part in near.weights])
        weak = trained(scene(**of(Close, strength=0.0)))
    start = flat(near.weights)
    assert np.abs(here - plain).max() > 1e-4 and (weak == plain).all()
    assert np.linalg.norm(away - start - 1) < np.linalg.norm(here - start - 1)  # towards the other start


@pytest.mark.slow
def test_a_gradient_hook_decides_the_step(scene):
    with registered(Frozen, Noisy):
        still = scene(**of(Frozen))
        np.testing.assert_allclose(trained(still), flat(still.weights), atol=1e-7)
        noisy = scene(**of(Noisy))
        first, again, second = trained(noisy), trained(noisy), trained(noisy, attacker=1)
    assert (first == again).all() and np.abs(first - second).max() > 1e-4


@pytest.mark.slow
def test_an_update_is_crafted_from_the_attackers_benign_update_and_may_boost_itself(scene):
    with registered(Hidden):
        hidden = scene(**of(Hidden, boost=2.0, alpha=0.25))
        theta = flat(hidden.weights)
        sent = theta + np.random.default_rng(0).normal(size=theta.size).astype(np.float32)
        with InProcessFederation(hidden.setting) as federation:
            benign = flat(federation.next(hidden.weights, [hidden.job()])[0]) - theta  # times alpha
            job = hidden.job(prepared=hidden.file(sent))
            moved = flat(federation.next(hidden.weights, [job])[0])
    np.testing.assert_allclose(moved - theta, 0.25 * 2 * (sent - theta) + benign, atol=1e-5)
    assert np.abs(benign).max() > 1e-4


def test_each_attacker_may_stamp_a_part_of_the_trigger(tmp_path):
    with registered(Halves):
        config = core_fixtures.small_config(attackers=2, federation_users=6, **of(Halves))
        data = ClientData(
            core_fixtures.bank(), core_fixtures.partition(0, 6, 2), core_fixtures.trigger(size=28, margin=0), config,
            tmp_path,
        )  # fmt: skip
        first, second = (data.poison_images(user)[1] for user in (1, 2))
    share = core_fixtures.partition(0, 6, 2).attacker_share(2)[1]
    clean = core_fixtures.bank().images[share.classes[0], share.examples[0, 0]]
    assert (first[0] == core_fixtures.trigger(size=28, margin=0).stamp(clean)).all()
    assert (second[0, 0] == clean[0]).all() and (second[0, 1:] != clean[1:]).any()


@pytest.mark.parametrize(("attack", "words"), BAD_EPISODES.items(), **TITLED)
def test_an_episode_of_another_shape_or_type_is_refused_with_the_contract(scene, attack, words):
    with registered(attack), pytest.raises(PluginError, match=words) as refused:
        chunk(scene(**of(attack)))
    assert attack.__name__.lower() in str(refused.value) and "sample_episode must return images" in str(refused.value)


@pytest.mark.parametrize("attack", BAD_LABELS, **TITLED)
def test_a_label_out_of_range_is_refused_with_user_and_attack(scene, attack):
    words = rf"user 1 drew a label out of range: .* attack {attack.__name__.lower()} must return labels from 0 to 2"
    with registered(attack), pytest.raises(ClientUpdateError, match=words):
        chunk(scene(**of(attack)))


@pytest.mark.parametrize(("attack", "words"), BAD_TRAINING.items(), **TITLED)
def test_a_loss_or_gradient_of_another_shape_is_refused(scene, attack, words):
    with registered(attack), pytest.raises(PluginError, match=f"{attack.__name__.lower()}: .*{words}"):
        chunk(scene(**of(attack)))


@pytest.mark.parametrize("attack", BAD_VALUES, **TITLED)
def test_a_loss_or_gradient_that_is_nan_is_refused_with_user_and_attack(scene, attack):
    words = f"user 1 trained to NaN or infinity: .* of the attack {attack.__name__.lower()};"
    with registered(attack), pytest.raises(ClientUpdateError, match=words):
        chunk(scene(**of(attack)))


@pytest.mark.parametrize(("attack", "words"), BAD_UPDATES.items(), **TITLED)
def test_an_update_of_other_shapes_is_refused(scene, attack, words):
    with registered(attack), pytest.raises(PluginError, match=f"{attack.__name__.lower()}: craft_update.*{words}"):
        bad = scene(**of(attack))
        with InProcessFederation(bad.setting) as federation:
            federation.next(bad.weights, [bad.prepared_job(flat(bad.weights))])


def test_an_update_of_nan_is_refused_and_leaves_the_state(scene):
    with registered(NAN_UPDATE):
        bad = scene(**of(NAN_UPDATE))
        with InProcessFederation(bad.setting) as federation:
            state = federation.start(bad.weights)
            before = flat(state).tobytes()
            with pytest.raises(ClientUpdateError, match=r"user 1 sent NaN or infinity; .*the state is unchanged"):
                federation.next(state, [bad.prepared_job(flat(bad.weights)), bad.job()])
            assert flat(state).tobytes() == before


def test_poison_must_keep_the_images_shape_and_type(scene):
    images = np.zeros((3, 8, 8, 1), np.uint8)

    class Poison(Same):
        def poison(self, trigger, images, attacker, attackers):
            return images[:, 1:]

    with pytest.raises(PluginError, match=r"poison made uint8 \[3, 7, 8, 1\] of images uint8 \[3, 8, 8, 1\]"):
        Poison().poisoned(core_fixtures.trigger(size=2), images, 0, 1)
