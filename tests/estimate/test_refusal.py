"""What does not fit the machine is refused in a sentence that says how much it is, and what to lower."""

import logging

import pytest

from tfmeta.config import make_config
from tfmeta.errors import ConfigError
from tfmeta.estimate import Estimate, Shapes, refusal
from tfmeta.models.conv4 import Conv4
from tfmeta.utils import memory

SHAPES, DAY = Shapes((28, 28, 1), 10_000, 40), 86_400.0


def config_of(**overrides):
    return make_config("omniglot", "paper", **overrides)


def check(free, monkeypatch, shapes=SHAPES, **overrides):
    monkeypatch.setattr(memory, "free", lambda: int(free))
    config = config_of(**overrides)
    model = Conv4(shapes.image, config.meta_learning.ways, config.meta_learning.filters)
    refusal.check_memory(config, model, shapes, 2)


@pytest.mark.parametrize("shapes", [SHAPES, Shapes((84, 84, 3), 10_440, 150)])
def test_the_papers_setting_fits_a_machine_of_8_gigabytes(shapes, monkeypatch):
    check(8e9, monkeypatch, shapes)
    with pytest.raises(ConfigError, match=r"needs about [0-9.]+ GB of memory, and 0.5 GB are free"):
        check(0.5e9, monkeypatch, shapes)


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        (dict(filters=4096, ways=5000), "meta_learning.ways"),  # weights beyond 32 bits: never traced
        (dict(filters=4096), "meta_learning.filters"),
        (dict(inner_batch_size=10_000), "meta_learning.inner_batch_size"),
        (dict(meta_batch_size=10_000, pretraining_episodes=10_000, round_episodes=10_000, checkpoint_episodes=10_000),
         "meta_learning.meta_batch_size"),
        (dict(tasks=100_000), "evaluation.tasks"),
    ],
)  # fmt: skip
def test_too_large_a_run_names_the_field_to_lower(overrides, field, monkeypatch):
    overrides.setdefault("extra_few", 10_000)
    overrides.setdefault("extra_many", 10_000)
    overrides.setdefault("attack_episodes", 50_000)
    with pytest.raises(ConfigError) as refused:
        check(2e9, monkeypatch, **overrides)
    said = str(refused.value)
    assert f"Lower {field} (now " in said and "--yes (YES=1 for make, allow_large=True in Python)" in said
    assert "\n" not in said and len(said) < 500


def test_a_large_network_is_named_where_no_field_is_to_blame(monkeypatch):
    with pytest.raises(ConfigError, match="Choose a smaller network"):
        check(1e9, monkeypatch, Shapes((512, 512, 3), 100, 40))


def time_of(days, allowed=False, **overrides):
    found = Estimate({}, {"start": 25.0, "the attack": days * DAY * 0.8, "measuring": days * DAY * 0.2})
    refusal.check_time(config_of(**overrides), found, allowed)


def test_a_run_of_over_a_week_has_to_be_asked_for(caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(ConfigError, match=r"would take about 2 weeks.*: 1\.6 weeks for the attack, 2\.8 days for mea"):
        time_of(14)
    with pytest.raises(ConfigError, match=r"Lower attack\.episodes \(now 1000000\), or start it anyway with --yes"):
        time_of(14, attack_episodes=1_000_000)
    assert not caplog.records
    time_of(14, allowed=True)
    assert "this run takes about 2 weeks" in caplog.text


def test_a_run_of_over_an_hour_says_how_long_it_takes(caplog):
    caplog.set_level(logging.INFO)
    time_of(0.5 / 24)
    assert not caplog.records
    time_of(3 / 24)
    assert "this run takes about 3 hours on this machine (within a factor of two)" in caplog.text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(5, "5 seconds"), (60, "1 minute"), (5400, "1.5 hours"), (2 * DAY, "2 days"), (7 * DAY, "1 week"),
     (1e9, "1,653 weeks")],
)  # fmt: skip
def test_durations_in_words(seconds, words):
    assert refusal.duration(seconds) == words
