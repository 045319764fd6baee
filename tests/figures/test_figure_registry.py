"""Which figures there are, what they are drawn from, and what a name or a group stands for."""

import re
import subprocess
import sys

import pytest

from figures import FIGURES, GROUPS, chosen
from tfmeta.errors import ConfigError


def test_the_registry_is_light():
    code = (
        "import sys, figures; names = ' '.join(figures.FIGURES); "
        "print(names, [m for m in ('matplotlib', 'tensorflow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, timeout=60)
    assert re.fullmatch(r"fig1 fig2 fig3.* \[\]\n", done.stdout), done.stderr


def test_every_figure_has_its_experiments():
    import experiments

    for spec in FIGURES.values():
        for name in spec.experiments:
            assert set(spec.cases) <= set(experiments.EXPERIMENTS[name].cases), name
    parts = tuple(f"ablation-{part}" for part in experiments.PARTS)
    assert FIGURES["ablation-table"].experiments == parts
    assert experiments.names_of("appendix") == GROUPS["ablations"]


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
def test_names_of_figures_and_groups(names, dataset, found):
    assert [spec.name for spec in chosen(names, dataset)] == found


def test_figures_are_all_of_the_papers():
    everything = {spec.name for spec in chosen(["figures"], "auto")}
    assert everything == {f"fig{n}" for n in range(1, 9)} | {f"figA{n}" for n in range(1, 12)}


def test_a_figure_of_other_data_sets_is_refused():
    with pytest.raises(ConfigError, match="fig6 is of mini-imagenet or glyphs-color, not of omniglot"):
        chosen(["fig6"], "omniglot")
    with pytest.raises(ConfigError, match="unknown figure 'fig12'"):
        chosen(["fig12"], "auto")
