"""The registry: which figures there are, what they are drawn from, and what a name or a group stands for."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from drawing import ABLATIONS

import figures
from figures import FIGURES, GROUPS, chosen, titles
from tfmeta.errors import ConfigError


def test_listing_figures_imports_nothing_heavy():
    code = (
        "import sys, figures; names = ' '.join(figures.titles()); "
        "print(names, [m for m in ('matplotlib', 'tensorflow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, timeout=60)
    assert re.fullmatch(r"fig1 fig2 fig3.* \[\]\n", done.stdout), done.stderr


def test_every_figure_has_its_experiments():
    import experiments

    for spec in FIGURES.values():
        names = experiments.named(spec.experiments)
        assert names, spec.name
        for name in names:
            assert set(spec.cases) <= set(experiments.cases_of(name)), name
    assert experiments.named(FIGURES["ablation-table"].experiments) == ABLATIONS
    assert [name for name, module in experiments.modules().items() if module == "appendix"] == GROUPS["ablations"]


def test_every_layout_exists():
    for spec in FIGURES.values():
        module, function = spec.layout.split(".")
        assert callable(getattr(importlib.import_module(f"figures.{module}"), function)), spec.name


def test_every_title_names_the_data_sets():
    assert titles().keys() == FIGURES.keys()
    assert titles()["fig5"] == "benign fine-tuning after the attack (omniglot)"
    assert titles()["fig6"].endswith("(mini-imagenet)")
    assert titles()["fig-delta"].endswith("(omniglot or mini-imagenet)")


@pytest.mark.parametrize(
    ("names", "dataset", "found"),
    [
        (["fig5"], "auto", ["fig5"]),
        (["fig6", "fig7"], "auto", ["fig6", "fig7"]),
        (["ablations"], "auto", ["figA1", "figA3", "figA4", "figA5", "figA6"]),
        (["ablations"], "glyphs", ["figA1", "figA3", "figA4", "figA5", "figA6"]),
        (["ablations"], "mini-imagenet", ["figA2", "figA7", "figA8", "figA9", "figA10", "figA11"]),
        (["ablation-table", "fig-delta"], "glyphs-color", ["ablation-table", "fig-delta"]),
        (["figures"], "glyphs-color", [f"fig{n}" for n in (2, 4, 6, 8)] + [f"figA{n}" for n in (2, 7, 8, 9, 10, 11)]),
        (["runtime"], "auto", ["runtime-omniglot", "runtime-mini-imagenet"]),
    ],
)
def test_a_name_or_group_stands_for_figures(names, dataset, found):
    assert [spec.name for spec in chosen(names, dataset)] == found


def test_the_group_figures_holds_all_of_the_papers():
    everything = {spec.name for spec in chosen(["figures"], "auto")}
    assert everything == {f"fig{n}" for n in range(1, 9)} | {f"figA{n}" for n in range(1, 12)}


def test_a_figure_of_other_data_sets_is_refused():
    with pytest.raises(ConfigError, match="fig6 shows mini-imagenet or its stand-in glyphs-color: leave out"):
        chosen(["fig6"], "omniglot")


@pytest.mark.parametrize(("name", "nearest"), [("fig55", "fig5"), ("fig-delt", "fig-delta"), ("ablation", "ablations")])
def test_an_unknown_figure_suggests_the_nearest(name, nearest):
    with pytest.raises(ConfigError, match=f"unknown figure '{name}': did you mean {nearest}"):
        chosen([name], "auto")


def test_figures_import_only_what_is_stored_and_configured():
    allowed = ("figures", "tfmeta.config", "tfmeta.errors", "tfmeta.registry", "tfmeta.store", "matplotlib", "numpy")
    for path in Path(figures.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                own = any(f"{name}.".startswith(f"{package}.") for package in allowed)
                assert own or name.partition(".")[0] in sys.stdlib_module_names, f"{path.name} imports {name}"
