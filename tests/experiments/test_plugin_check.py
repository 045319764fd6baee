"""`tfmeta check-plugin`: good plug-ins of every kind pass, and what a bad one returns is named in one sentence."""

import pytest
from command_line import invoked, refused
from plugin_files import ALL, DEFENCE, defence, write

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forget_plugins")]

PROBABILITIES = """\
n = sum(group.shape[0] for group in query_groups)
found = tf.fill([len(points), n, model.ways], 0.2)
"""
SUM, DATASET = ALL["aggregations"], ALL["datasets"]


def trigger(*lines):
    """Return a file with a trigger whose `stamp` has some lines."""
    start = "from tfmeta.attacks.triggers.base import Trigger\n\n\nclass Bad(Trigger):\n    def stamp(self, images):\n"
    return start + "".join(f"        {line}\n" for line in lines)


def attack(hook, *lines):
    """Return a file with an attack that has another `hook`, of some lines."""
    start = "from tfmeta.attacks.model_replacement import ModelReplacement\n\n\nclass Bad(ModelReplacement):\n"
    return f"{start}    def {hook}:\n" + "".join(f"        {line}\n" for line in lines)


EPISODE = "sample_episode(self, data, context)", "images, labels = super().sample_episode(data, context)"
CRAFT = "craft_update(self, theta, trained, reference, context)"
BAD = {
    "shape": (defence(adapt="return tf.zeros([3, 2])"), "returned float32 (3, 2) where float32 [2, "),
    "dtype": (defence(adapt=f"{PROBABILITIES}return tf.cast(found, tf.float64)"), "returned float64"),
    "none": (defence(), "returned NoneType"),
    "negative": (defence(adapt=f"{PROBABILITIES}return found * [-1, 3, 1, 1, 1]"), "negative, NaN or do not add up"),
    "nan": (defence(adapt=f"{PROBABILITIES}return found / 0 * 0"), "negative, NaN or do not add up to 1"),
    "sum": (defence(adapt=f"{PROBABILITIES}return 2 * found"), "negative, NaN or do not add up to 1"),
    "random": (
        defence(adapt=f"{PROBABILITIES}return tf.nn.softmax(tf.random.normal(found.shape) * 9)"),
        "adapt gives other answers the second time: draw everything from its argument seed",
    ),
    "raises": (defence(adapt="return 1 / 0"), "'return 1 / 0': ZeroDivisionError"),
    "other_shape": (trigger("return images[..., 1:]"), "must keep their shape and dtype"),
    "other_type": (trigger("return images / 2"), "must keep their shape and dtype"),
    "in_place": (trigger("images[..., 0, 0, :] = 255", "return images"), "changes the images that it is given"),
    "invisible": (trigger("return images.copy()"), "stamp changes nothing"),
    "episode_shape": (attack(*EPISODE, "return images[:, 1:], labels"), "sample_episode"),
    "episode_labels": (attack(*EPISODE, "return images, labels + 1"), "must return labels from 0 to 4"),
    "update_nan": (attack(CRAFT, "return [part * float('nan') for part in trained]"), "NaN"),
    "not_one_rule": (SUM.replace("return total(updates)", "return total(updates[1:])"), "make them one rule"),
    "no_factory": (SUM.replace("SumFactory", "MeanFactory"), "must return an unweighted tff.aggregators factory"),
    "no_bank": (DATASET.replace("return Im", "return dict(a=1) or Im"), "`open` must return an ImageBank, not dict"),
    "no_logits": (ALL["models"].replace('name="logits"', 'name="out"'), "logits"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ALL)
def test_a_plug_in_that_keeps_its_contract_passes(kind, glyphs_bank, tmp_path):
    lines = invoked("check-plugin", write(tmp_path, "my_own", ALL[kind])).splitlines()
    assert lines[-1] == "ok" and any("keeps the contract" in line for line in lines)


@pytest.mark.parametrize("name", BAD)
def test_what_a_bad_plug_in_does_is_named(name, glyphs_bank, tmp_path):
    text, named = BAD[name]
    output = refused("check-plugin", write(tmp_path, name, text))
    (line,) = (line for line in output.splitlines() if line.startswith("Error: "))
    assert named in line and name in line.replace("-", "_")


def test_a_file_with_several_is_checked_until_the_first_that_fails(glyphs_bank, tmp_path):
    both = f"{trigger('return images.copy()')}\n\n{DEFENCE}"
    output = refused("check-plugin", write(tmp_path, "two", both))
    assert "stamp changes nothing" in output and "defence two" not in output
