"""The package that the how-to page describes: installed by pip, it brings a plug-in of every kind without --plugin."""

import subprocess
import sys

import pytest
from doc_blocks import files
from plugin_pages import FOLDER, PAGES, file_of, run

from experiments.options import NAMED
from tfmeta import registry
from tfmeta.store import results

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
FIGURE = [
    "figure", "fig5", "--profile", "smoke", "--set", "attack.bound=0.5", "--set", "groups=2",
    "--set", "evaluation.users=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder in which pip installed the package."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    (source / "my_plug_ins").mkdir()
    (source / "my_plug_ins" / "__init__.py").touch()
    for name, text in files(FOLDER / "plug-in-package.md").items():
        (source / name).write_text(text)
    for kind in PAGES:
        name, text = file_of(kind)
        (source / "my_plug_ins" / name).write_text(text)
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*install, "--target", folder, source], check=True, capture_output=True, timeout=120)
    return folder


def test_its_plug_ins_are_listed_with_their_package(site, tmp_path):
    listed = run(["tfmeta", "plugins"], tmp_path, site)
    assert listed.returncode == 0 and listed.stdout.count("(the package my-plug-ins)") == len(registry.KINDS)
    for option in ("attack.bound = 1", "trigger.waves = 6", "data.noise = 20", "defence.scale = 1"):
        assert option in listed.stdout


def test_a_figure_is_drawn_with_all_of_them(site, tmp_path, cache_dir):
    names = {kind: file_of(kind)[0].removesuffix(".py") for kind in PAGES}
    options = {option: names[kind] for option, kind in {**NAMED, "dataset": "datasets"}.items()}
    given = [word for option, name in options.items() for word in (f"--{option}", name)]
    drawn = run(["tfmeta", *FIGURE, *given], tmp_path, site)
    assert drawn.returncode == 0, drawn.stdout
    (figure,) = (tmp_path / "figures" / "out").glob("fig5-gratings-smoke-*.png")
    assert figure.stat().st_size > 10_000
    (path,) = tmp_path.glob("results/*/fine_tuning-a.json")
    plugins = results.read(path)["plugins"]
    assert plugins.keys() == registry.KINDS.keys()
    for kind, entries in plugins.items():
        (entry,) = entries
        assert (entry["name"], entry["origin"]) == (names[kind], "outside")
