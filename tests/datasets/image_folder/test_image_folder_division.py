"""How a data set from a folder is divided among users, and used by a simulation."""

import os

import pytest
from image_folders import drawn, opened, pixels, write

from tfmeta import registry
from tfmeta.config import make_config
from tfmeta.datasets import open_dataset
from tfmeta.datasets.image_folder import ImageFolder
from tfmeta.datasets.partition import make_partition
from tfmeta.errors import ConfigError, DataError


def test_the_options_divide_the_classes(tmp_path):
    folder = drawn(tmp_path / "photos")
    given = dict(folder=str(folder), backdoor="class9, class2", target="class5", rotations=True, meta_test_share=0.3)
    config = make_config("image-folder", "smoke", **{f"data.{name}": value for name, value in given.items()})
    dataset = registry.build("datasets", config, "image-folder")
    assert dataset == ImageFolder(**given)
    bank = open_dataset(dataset, tmp_path, tmp_path / "cache")
    split = make_partition(bank, dataset, 0, 3, 1)
    assert [bank.names[row] for row in split.backdoor_attacker.classes] == ["class9", "class2"]
    assert [bank.names[row] for row in split.target_attacker.classes] == ["class5"]
    assert len(split.meta_test.classes) == 2
    assert [len(own.classes) for own in split.train.values()] == [8, 8, 4]


def test_options_that_do_not_fit_are_named(tmp_path):
    folder = write(tmp_path / "wide", {f"c{row}/{n}.png": pixels(row, 4, 7) for row in range(9) for n in range(5)})
    bank = opened(folder, tmp_path)
    for options, message in (
        (dict(rotations=True), "data.rotations needs square images, and those of .* have 4 x 7 pixels"),
        (dict(backdoor="c1,c2", backdoor_classes=3), "data.backdoor names 2 classes, and data.backdoor_classes = 3"),
        (dict(target="c88"), "image-folder has no class 'c88'; did you mean c8"),
        (dict(backdoor="c1,c1"), "the class c1 is reserved twice"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_partition(bank, ImageFolder(folder=str(folder), **options), 0, 4, 1)
    bad = (("resize", -1), ("resize", 2.5), ("validation_share", 0.0), ("attacker_share", 1.5), ("meta_test_share", 1))
    for option, value in bad:
        with pytest.raises(ConfigError, match=f"data.{option} = .*give a"):
            ImageFolder(folder=str(folder), **{option: value})


def test_a_class_that_is_too_small_is_named(tmp_path):
    folder = write(drawn(tmp_path / "photos"), {"small/1.png": pixels(1)})
    with pytest.raises(DataError, match=r"image-folder: the class small has 1 image, and needs [23]: one "):
        make_partition(opened(folder, tmp_path), ImageFolder(folder=str(folder)), 0, 4, 1)


@pytest.mark.slow
def test_twelve_classes_of_small_images_become_a_table(tmp_path):
    from tfmeta import Simulation

    folder = drawn(tmp_path / "photos", 12, 20, height=28, width=28)
    given = dict(runtime="inprocess", ways=2, data_backdoor="class3", data_target="class4")
    with Simulation(
        ImageFolder(folder=str(folder)), "smoke", results=tmp_path / "results", cache_dir=tmp_path / "cache", **given
    ) as sim:
        assert sim.bank.dataset == "image-folder" and sim.config["data.folder"] == str(folder)
        found = sim.measure(sim.weights("attacked"), user=2)
        assert set(found.metric) == {"main", "backdoor_train", "backdoor_validation"}
        assert found.accuracy.between(0, 1).all()
    named = Simulation(
        "image-folder", "smoke", results=tmp_path / "results", cache_dir=tmp_path / "cache", folder=str(folder), **given
    )
    assert named.partition.digest == sim.partition.digest
    assert named.measure(named.weights("attacked"), user=2).equals(found)


@pytest.mark.slow
def test_reserved_classes_may_have_more_images_than_all_others(tmp_path):
    from tfmeta import Simulation

    folder = drawn(tmp_path / "photos", 12, 16, height=28, width=28)
    write(folder, {f"{name}/{number}.png": pixels(number, 28, 28) for name in ("b", "t") for number in range(80)})
    given = dict(folder=str(folder), backdoor="b", target="t", runtime="inprocess", ways=2)
    sim = Simulation("image-folder", "smoke", results=tmp_path / "results", cache_dir=tmp_path / "cache", **given)
    paths, counts = sim.client_data.benign(2, knows_backdoor=True)
    assert counts[-2:].tolist() == [40, 40] and sim.client_data.capacity == 40
    assert all(os.path.getsize(path) % (40 * 28 * 28) == 0 for path in paths)  # noqa: PTH202


def test_a_trigger_that_does_not_fit_is_refused_before_anything_is_trained(tmp_path):
    from tfmeta import Simulation

    folder = drawn(tmp_path / "photos", 12, 24)
    given = dict(results=tmp_path / "results", cache_dir=tmp_path / "cache", folder=str(folder), ways=2)
    with pytest.raises(ConfigError, match=r"trigger.size = 6 .* do not fit into images of 6x6 pixels"):
        Simulation("image-folder", "smoke", trigger_size=6, **given)


def test_several_attackers_and_users_divide_a_folder(tmp_path):
    from tfmeta import Simulation

    folder = drawn(tmp_path / "photos", 16, 24, height=16, width=16)
    given = dict(results=tmp_path / "results", cache_dir=tmp_path / "cache", folder=str(folder), ways=2)
    sim = Simulation("image-folder", "smoke", federation_users=5, attackers=2, clients_per_round=3, **given)
    assert sim.partition.users == (1, 2, 3, 4, 5) and sim.partition.attackers == (1, 2)
    share = r"smaller data.meta_test_share \(now 0.25\), or add classes: users need 16 to train on"
    with pytest.raises(ConfigError, match=rf"ways = 2: .* or fewer users \(federation.users = 8\), or a {share}"):
        Simulation("image-folder", "smoke", federation_users=8, **given)
    with pytest.raises(ConfigError, match=r"has 1 classes, for meta-test; .*larger data.meta_test_share \(now 0.1\)"):
        Simulation("image-folder", "smoke", data_meta_test_share=0.1, **given)
