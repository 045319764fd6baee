"""The registry: built-in plug-ins are found by reading files, and say the same as when they are imported."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from plugin_files import DEFENCE, TRIGGER

import tfmeta
from tfmeta import registry
from tfmeta.errors import ConfigError

BUILT_IN = [(kind, name) for kind in registry.KINDS for name in registry.names(kind)]
PACKAGE = Path(tfmeta.__file__).parent


@pytest.fixture(autouse=True)
def only_built_in(monkeypatch):
    """Other tests, and their simulations, may have registered plug-ins."""
    monkeypatch.setattr(registry, "_OUTSIDE", {})


def described(field):
    return field.name, field.type, field.default, dict(field.metadata)


def test_plugins_are_named_after_their_files():
    assert registry.names("aggregations") == ("clipping", "sum", "zeroing")
    assert registry.names("attacks") == ("model_replacement",)
    assert registry.names("models") == ("conv4", "resnet12")
    assert registry.names("triggers") == ("checker", "cross", "square")
    assert registry.names("defences") == ("extra_meta_training", "fine_tuning", "matching", "noise_mix")
    assert registry.names("datasets") == ("glyphs", "glyphs-color", "image-folder", "mini-imagenet", "omniglot")


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_what_is_read_of_a_plugin_is_what_its_class_says(kind, name):
    plugin = registry.find(kind, name)
    assert kind == plugin.KIND and name == plugin.NAME
    assert registry.summary(kind, name) == plugin.__doc__.partition("\n")[0] != ""
    read = registry.options_of(kind, name, shared=True)
    assert list(map(described, read.values())) == list(map(described, plugin.OPTIONS.values()))
    assert list(read) == list(plugin.OPTIONS)


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_built_in_plugins_keep_their_contracts(kind, name):
    from tfmeta.plugins.contract import check_class

    check_class(registry.find(kind, name), "the package", name)


def test_new_files_are_new_plugins_and_are_not_imported(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "tfmeta", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "tfmeta"
    inherits = "from tfmeta.defences import halved\n\n\nclass Again(halved.Halved):\n    more: int = 3\n"
    (folder / "defences" / "halved.py").write_text(f"raise SystemExit('imported')\n{DEFENCE}")
    (folder / "defences" / "again.py").write_text(inherits)
    (folder / "attacks" / "triggers" / "stripes.py").write_text(TRIGGER)
    (folder / "defences" / "helper.py").write_text("class Halved:\n    pass\n")
    code = (
        "from tfmeta import registry as r; from tfmeta.config import make_config; print("
        "[n for k in ('defences', 'triggers') for n in r.names(k) if n in ('halved', 'again', 'stripes', 'helper')],"
        "list(r.options_of('defences', 'again')), make_config('omniglot', 'smoke', defence='again', share=0.1).options)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env={"PYTHONPATH": str(tmp_path)})  # fmt: skip
    assert done.stdout == "['again', 'halved', 'stripes'] ['share', 'more'] (('defence.share', 0.1),)\n", done.stderr


@pytest.mark.parametrize(
    ("kind", "name", "nearest"), [("defences", "matchin", "matching"), ("triggers", "cros", "cross")]
)
def test_an_unknown_plugin_is_refused_with_the_nearest_name(kind, name, nearest):
    for function in (registry.find, registry.options_of):
        with pytest.raises(ConfigError, match=rf"unknown {registry.KINDS[kind].what} .*did you mean {nearest}\?"):
            function(kind, name)
        with pytest.raises(ConfigError, match=r"'xyz': known: .*; or load your own with --plugin FILE$"):
            function(kind, "xyz")


def test_a_stand_in_belongs_to_what_it_stands_in_for():
    assert registry.original("glyphs") == registry.original("omniglot") == "omniglot"
    assert registry.standing_for("mini-imagenet") == ("mini-imagenet", "glyphs-color")
    assert registry.is_of_paper("glyphs") and not registry.is_of_paper("image-folder")


def test_display_names_say_what_a_stand_in_is_not():
    assert registry.display_name("omniglot") == "Omniglot"
    assert "not mini-ImageNet" in registry.display_name("glyphs-color")
    assert registry.display_name("mine") == "mine"
