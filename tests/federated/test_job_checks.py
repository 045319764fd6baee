"""What a round refuses before it begins: jobs whose files or numbers no client could use."""

import os

import numpy as np
import pytest
from attack_plugins import Hidden, registered
from core_fixtures import Scene, flat

from tfmeta.errors import ClientUpdateError
from tfmeta.federated.checks import REFUSED, check_jobs, refusing
from tfmeta.store import sealed


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    return Scene(tmp_path_factory.mktemp("shards"))


def refusal(scene, job, **more):
    """Return what the check says about a job of a user."""
    with pytest.raises(ClientUpdateError) as refused:
        check_jobs(scene.setting, [scene.job(), job], **more)
    message = str(refused.value)
    assert message.startswith(f"{job.user}: ") and message.endswith("The state is unchanged")
    return message


def test_jobs_that_clients_can_run_pass(scene):
    check_jobs(scene.setting, [scene.job(), scene.prepared_job(flat(scene.weights), boost=1e6)])
    check_jobs(scene.setting, [scene.chunk_job(0, 2)], chunk=True)


def test_a_round_without_a_job_is_refused(scene):
    with pytest.raises(ClientUpdateError, match="no job: a round needs at least one client"):
        check_jobs(scene.setting, [])


@pytest.mark.parametrize("name", ["boost", "alpha", "meta_step_size"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_a_number_that_is_not_finite_in_float32_is_refused(scene, name, value):
    job = scene.job()._replace(**{name: value})
    assert f"{name} = {np.float64(value) if abs(value) != 1e39 else 'inf'}" in refusal(scene, job)


@pytest.mark.parametrize("name", ["first_episode", "meta_batches"])
def test_a_negative_number_of_episodes_is_refused(scene, name):
    assert f"{name} = -1" in refusal(scene, scene.job(**{name: -1}))


@pytest.mark.parametrize("count", [-1, 0, 3, 7])
def test_a_count_below_an_episodes_images_or_above_the_capacity_is_refused(scene, count):
    """Such a count would draw padding as if it were images."""
    counts = scene.counts.copy()
    counts[2] = count
    assert f"counts[2] = {count}; give 4 to 6 images" in refusal(scene, scene.job(counts=counts))


def test_a_chunk_needs_one_image_per_class_and_what_more_is_the_attacks_to_say(scene):
    chunk, counts = scene.chunk_job(0, 2), scene.counts.copy()
    counts[2] = 1
    check_jobs(scene.setting, [chunk._replace(counts=counts)], chunk=True)
    counts[2] = 0
    with pytest.raises(ClientUpdateError, match=r"user 1: .*counts\[2\] = 0; give 1 to 6"):
        check_jobs(scene.setting, [chunk._replace(counts=counts)], chunk=True)


def test_counts_of_another_number_of_classes_than_the_shards_hold_are_refused(scene):
    for counts in (scene.counts[:-1], [*scene.counts, 6]):
        message = refusal(scene, scene.job(counts=counts))
        assert f"counts of {len(counts)} classes, but its shards hold 7" in message and str(scene.paths[0]) in message
    few = scene.job(shards=[scene.file(scene.images[:2])], counts=[6, 6])
    assert "images of 2 classes; an episode needs at least 3" in refusal(scene, few)


@pytest.mark.parametrize(("field", "chunk"), [("shards", False), ("prepared", False), ("shards", True),
                                              ("target", True), ("triggered", True)])  # fmt: skip
def test_a_file_that_is_missing_no_file_or_cut_off_is_refused_by_name(scene, tmp_path, field, chunk):
    def given(path):
        job = scene.chunk_job(0, 2) if chunk else scene.job()
        return job._replace(**{field: np.array([path]) if field == "shards" else np.str_(path)})

    def said(path):
        with pytest.raises(ClientUpdateError) as refused:
            check_jobs(scene.setting, [given(path)], chunk)
        assert str(refused.value).startswith("user ")
        return str(refused.value)

    os.mkfifo(pipe := tmp_path / "pipe")
    assert f"{tmp_path / 'nowhere'} is missing" in said(tmp_path / "nowhere")
    assert f"{tmp_path} is not a file" in said(tmp_path)
    assert f"{pipe} is not a file" in said(pipe)  # opening it would wait for ever
    assert "100 bytes" in said(path := scene.file(b"x" * 100)) and path in said(path)
    assert "has 0 bytes" in said(scene.file(b""))


def test_a_shard_of_another_data_set_is_refused_with_what_would_fit(scene):
    foreign = scene.file(bytes(7 * 6 * 84 * 84 * 3 + 1))
    message = refusal(scene, scene.job(shards=[foreign]))
    assert f"{foreign} has 889057 bytes" in message and "multiple of 1536" in message and "another data set" in message


def test_a_damaged_sealed_file_is_refused_by_name(scene, tmp_path):
    path = sealed.write(tmp_path, "shard", ".u8", [scene.images])
    job = scene.job(shards=[str(path)])
    check_jobs(scene.setting, [job])
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    assert f"{path} is damaged" in refusal(scene, job)


def test_shards_are_looked_at_only_where_the_client_reads_them(scene):
    job = scene.prepared_job(flat(scene.weights), shards=["/nowhere"])
    check_jobs(scene.setting, [job])
    with registered(Hidden):  # an attack that also trains as a benign user would
        setting = scene.setting._replace(config=scene.config.replace({"attack.name": "hidden"}))
        with pytest.raises(ClientUpdateError, match="user 1: /nowhere is missing"):
            check_jobs(setting, [job._replace(counts=scene.counts)])


def test_a_refusal_is_found_inside_messages_of_other_libraries(scene):
    wrapped = f'{{created "status": [[{REFUSED}user 1 sent NaN or infinity]] [[node x]]}}'
    with pytest.raises(ClientUpdateError, match=f"^{REFUSED}user 1 sent NaN or infinity; the round"):
        with refusing(scene.setting, [scene.job()]):
            raise RuntimeError(wrapped)


def test_a_file_that_vanishes_while_the_round_runs_is_named_and_other_errors_stay_as_they_are(scene, tmp_path):
    (path := tmp_path / "shard.u8").write_bytes(scene.images.tobytes())
    job = scene.job(shards=[str(path)])
    with pytest.raises(ZeroDivisionError):
        with refusing(scene.setting, [job]):
            raise ZeroDivisionError
    with pytest.raises(ClientUpdateError, match=rf"user 2: {path} is missing") as refused:
        with refusing(scene.setting, [job]):
            path.unlink()
            raise RuntimeError("No such file")
    assert isinstance(refused.value.__cause__, RuntimeError)


@pytest.mark.parametrize("wrapper", ["{}", 'details = "Failed to run computation: {}\n\t [[{{{{node ReadFile}}}}]]"'])
def test_a_file_that_the_disk_does_not_give_back_is_named(scene, wrapper):
    path = scene.paths[1]
    with pytest.raises(ClientUpdateError, match=rf"^user 2: {path} could not be read \(Input/output error\); check "):
        with refusing(scene.setting, [scene.prepared_job(flat(scene.weights)), scene.job()]):
            raise RuntimeError(wrapper.format(f"{path}; Input/output error"))
