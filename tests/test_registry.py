"""The registry: parts found from files."""

import pytest

from tfmeta import registry
from tfmeta.errors import ConfigError


def test_parts_are_named_after_their_files():
    assert registry.names("aggregations") == ("clipping", "sum", "zeroing")
    assert registry.names("attacks") == ("model_replacement",)
    assert registry.names("triggers") == ("checker", "cross", "square")
    assert registry.names("defences") == ("fine_tuning", "matching", "noise_mix")
    assert registry.names("datasets") == ("glyphs", "glyphs-color", "mini-imagenet", "omniglot")


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_part_has_what_its_kind_asks_for(kind):
    for name in registry.names(kind):
        assert callable(getattr(registry.load(kind, name), registry.KINDS[kind].function))


def test_a_new_file_is_a_new_part(tmp_path, monkeypatch):
    package = tmp_path / "tfmeta" / "aggregations"
    package.mkdir(parents=True)
    (package / "median.py").write_text("def tff_factory(config):\n    return None\n")
    (package / "helper.py").write_text("def other():\n    return None\n")
    monkeypatch.setattr(registry, "__file__", str(tmp_path / "tfmeta" / "registry.py"))
    assert registry.names.__wrapped__("aggregations") == ("median",)


@pytest.mark.parametrize(
    ("kind", "name", "nearest"), [("defences", "matchin", "matching"), ("triggers", "cros", "cross")]
)
def test_an_unknown_part_is_refused_with_the_nearest_name(kind, name, nearest):
    with pytest.raises(ConfigError, match=rf"unknown {registry.KINDS[kind].what} .*did you mean {nearest}\?"):
        registry.load(kind, name)


def test_a_stand_in_belongs_to_what_it_stands_in_for():
    assert registry.original("glyphs") == registry.original("omniglot") == "omniglot"
    assert registry.standing_for("mini-imagenet") == ("mini-imagenet", "glyphs-color")


def test_display_names_say_what_a_stand_in_is_not():
    assert registry.display_name("omniglot") == "Omniglot"
    assert "not mini-ImageNet" in registry.display_name("glyphs-color")
    assert registry.display_name("mine") == "mine"
