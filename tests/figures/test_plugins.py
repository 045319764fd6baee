"""Figures of runs with other plug-ins: which curves are drawn, and what captions and file names say."""

import pytest
from drawing import caption
from plugin_files import ALL, DEFENCE, write

from figures import FIGURES, chosen, source
from tfmeta.errors import ConfigError, ResultError
from tfmeta.plugins.outside import use_file
from tfmeta.store import results

pytestmark = pytest.mark.usefixtures("forget_plugins")
NAMED = {"defence.name": "halved", "defence.share": 0.25}


@pytest.fixture
def halved(forget_plugins, tmp_path):
    use_file(write(tmp_path, "halved", DEFENCE))


def described(spec, folder, words="mean"):
    return source.Run.read(FIGURES[spec], folder).caption(words)


def stored(folder, experiment, **plugins):
    """Add what a run says of its plug-ins to its documents."""
    for case in "abc":
        found, values = results.load(results.path_of(folder, experiment, case))
        found["plugins"] = {
            kind: [{"name": name, "options": options, "origin": "outside", "code": "0" * 16}]
            for kind, (name, options) in plugins.items()
        }
        found["code"] = {}
        results.write(folder, {k: v for k, v in found.items() if k not in ("format", "values_sha256")}, values)


def test_the_papers_figures_are_what_they_are(made_up):
    folder = made_up(experiments=("matching",), head="matching")
    assert described("fig7", folder).startswith(
        "Omniglot; matching networks on weights mixed with delta = 0.3; profile quick (reduced: smaller than the "
        "paper's experiment); mean; seed 0;"
    )


@pytest.mark.usefixtures("halved")
def test_a_named_defence_takes_the_place_of_the_papers(made_up, drawn, tmp_path):
    folder = made_up(experiments=("matching",), head="softmax", changed=NAMED)
    run = source.Run.read(FIGURES["fig7"], folder)
    assert run.head == "softmax" and run.stem == "fig7-defence=halved+defence.share=0.25"
    words = run.caption("mean")
    assert "Omniglot; defence halved (share = 0.25); profile quick (reduced: smaller than the paper's" in words
    assert "matching" not in words and "delta" not in words and "with defence" not in words
    (path, _) = FIGURES["fig7"].draw(folder, tmp_path)
    assert "defence halved (share = 0.25)" in caption(drawn[path.stem])


@pytest.mark.usefixtures("halved")
def test_what_a_figure_is_also_about_stays_in_the_caption(made_up):
    changed = {"defence.name": "halved"}
    words = described("figA5", made_up(experiments=("figA5",), changed=changed))
    assert "defence halved (share = 0.5), another set of tasks (task_seed 1); profile" in words
    words = described("figA9", made_up(dataset="mini-imagenet", experiments=("figA9",), changed=changed))
    assert "defence halved (share = 0.5) after 0 episodes of the user's own extra meta-training; profile" in words


@pytest.mark.usefixtures("halved")
def test_plugins_of_other_kinds_are_named_with_their_options(made_up):
    changed = {"trigger.pattern": "cross", "trigger.size": 5, "attack.boost": 5.0}
    words = described("fig5", made_up(changed=changed))
    assert "trigger cross (size = 5, margin = 1, corner = lower-right, cell = 1, color = white-black); profile" in words
    assert "with boost = 5.0 (profile: 3.0); mean" in words and "pattern" not in words
    changed = {"federation.aggregation": "clipping", "meta_learning.model": "resnet12"}
    words = described("fig5", made_up(changed=changed))
    assert "model resnet12 (widths = 64-160-320-640, width_scale = 1.0); aggregation clipping (aggregation_norm" in words


def test_the_document_says_the_options_where_the_plugin_is_not_there(made_up):
    """Its default may be another one by now, or its file may be gone."""
    folder = made_up()
    stored(folder, "fine_tuning", attacks=("model_replacement", {}), defences=("fine_tuning", {}))
    assert described("fig5", folder).startswith("Omniglot; profile quick")
    for case in "abc":
        found, values = results.load(results.path_of(folder, "fine_tuning", case))
        found["config"]["attack"]["name"] = found["changed"]["attack.name"] = "gone"
        found["plugins"]["attacks"][0] |= {"name": "gone", "options": {"strength": 2}}
        results.write(folder, {k: v for k, v in found.items() if k not in ("format", "values_sha256")}, values)
    run = source.Run.read(FIGURES["fig5"], folder)
    assert "Omniglot; attack gone (strength = 2); profile quick" in run.caption() and run.stem == "fig5-attack=gone"


def test_a_data_set_of_ones_own_can_be_drawn_by_every_figure(made_up, tmp_path):
    use_file(write(tmp_path, "my_dots", ALL["datasets"]))
    folder = made_up(dataset="my-dots", experiments=("fine_tuning", "illustration"))
    for name in ("fig5", "fig6"):
        run = source.Run.read(FIGURES[name], folder)
        assert run.stem == f"{name}-my-dots"
        assert run.caption().startswith("dots (not a data set of the paper); profile quick")
        assert chosen([name], "my-dots") == [FIGURES[name]]
    assert {spec.about for spec in chosen(["figures", "runtime"], "my-dots")} == {("omniglot",)}


@pytest.mark.parametrize(("name", "dataset"), [("fig5", "mini-imagenet"), ("fig6", "glyphs")])
def test_the_papers_other_data_set_is_still_refused(made_up, name, dataset):
    with pytest.raises(ConfigError, match=rf"{name} shows"):
        chosen([name], dataset)
    with pytest.raises(ResultError, match=rf"is of the data set {dataset}"):
        source.Run.read(FIGURES[name], made_up(dataset=dataset))
