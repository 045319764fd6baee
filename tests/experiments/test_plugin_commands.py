"""Plug-ins on the command line: `--plugin`, the options that name one, `tfmeta plugins`, and what is refused early."""

import re

import pytest
from command_line import command, invoked, refused
from plugin_files import ALL, DEFENCE, TRIGGER, defence, write

from tfmeta import registry

pytestmark = pytest.mark.usefixtures("forget_plugins")


@pytest.fixture
def halved(tmp_path):
    return write(tmp_path, "halved", DEFENCE)


def test_a_file_is_known_to_settings_and_checks_wherever_it_is_named(halved):
    words = ("config", "--changed", "--profile", "paper", "--set", "share=0.25", "--defence", "halved")
    output = invoked(*words, "--plugin", halved)
    assert re.findall(r"^(\w+) ", output, re.M)[1:] == ["name", "share"] or "share" in output
    assert re.search(r"^share +0\.25 +a number from 0 +share of the weights that +plug-in", output, re.M)
    assert "an option of the" in output


def test_help_lists_names_of_files(halved, tmp_path):
    stripes = write(tmp_path, "stripes", TRIGGER)
    output = invoked("figure", "--help", "--plugin", halved, "--plugin", stripes)
    assert re.search(r"--defence TEXT +.*halved", output) and re.search(r"--trigger TEXT +.*stripes", output)


def test_plugins_lists_every_kind_with_options_and_origin(halved):
    output = " ".join(invoked("plugins", "--plugin", halved).split())
    for kind in registry.KINDS:
        assert f"{kind} (chosen by" in output
        for name in registry.names(kind):
            assert f" {name} (" in output
    assert f"halved (the file {halved}): Shrinks the weights, then fine-tunes them." in output
    assert "defence.share = 0.5: share of the weights that stays; a number from 0 to 1" in output
    assert "sum (built in, by default): The sum of all updates." in output
    assert "reads defence.delta, defence.mixed_layers" in output
    assert 'data.folder = "": folder with' in output
    assert max(map(len, invoked("plugins").splitlines())) <= 100


def test_plugins_of_one_kind_are_listed_and_an_unknown_kind_is_refused():
    output = invoked("plugins", "triggers")
    assert "checker (built in, by default): A checkerboard." in output and "matching" not in output
    assert "did you mean triggers" in refused("plugins", "trigers")


def test_listing_plugins_loads_no_tensorflow():
    done = command("plugins", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0 and "tfmeta.registry" in done.stderr
    assert not re.search(r"\| +(tensorflow|matplotlib|keras)\b", done.stderr)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("figure", "fig7", "--defence", "halvd"), "did you mean halved"),
        (("figure", "fig7", "--set", "share=0.25"), "the defence halved, which is not chosen: add --defence halved"),
        (("run", "matching", "--defence", "matching", "--set", "share=0.2"), "the defence matching has no such option"),
        (("run", "matching", "--defence", "halved", "--set", "share=2"), "give a number from 0 to 1"),
        (("run", "matching", "--defence", "halved", "--set", "defence.name=matching"), "defence.name is given twice"),
        (("figure", "fig-delta", "--defence", "halved"), "delta-curve is about delta, and the defence halved has no"),
        (("figure", "figA1", "--defence", "halved"), "figA1 is about delta, and the defence halved has no"),
        (("figure", "figA8", "--defence", "halved", "--dataset", "mini-imagenet"), "figA8 is about"),
        (("figure", "figA8", "--defence", "mixes", "--dataset", "mini-imagenet"), "extra meta-training is followed by"),
        (("figure", "ablation-table", "--defence", "halved"), "is about the parts of the paper's own defence"),
        (("run", "ablation-no-mix", "--defence", "matching"), "is about the parts of the paper's own defence"),
        (("run", "matching", "--attack", "neurotoxin"), "attack.name = 'neurotoxin'"),
        (("run", "matching", "--dataset", "halved"), "unknown data set 'halved'"),
        (("data", "--dataset", "dot"), "did you mean dots"),
    ],
)
def test_what_does_not_fit_is_refused_before_data_is_read(words, named, halved, tmp_path):
    dots = write(tmp_path, "dots", ALL["datasets"])
    mixes = write(tmp_path, "mixes", defence("delta: float = shared()"))
    plugins = ("--plugin", halved, "--plugin", dots, "--plugin", mixes)
    results = () if words[0] == "data" else ("--results", tmp_path / "results")
    assert named in " ".join(refused(*words, *plugins, *results).split())
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("name", ["missing", "bad"])
def test_a_file_that_cannot_be_used_is_an_error_of_one_line(name, tmp_path):
    write(tmp_path, "bad", "import nothing_there\n")
    done = command("figure", "fig7", "--plugin", tmp_path / f"{name}.py")
    assert done.returncode == 1 and done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert str(tmp_path / f"{name}.py") in done.stderr


@pytest.mark.parametrize("verbose", [False, True])
def test_an_error_of_a_plug_in_is_one_sentence_and_the_whole_of_it_with_verbose(verbose, tmp_path):
    body = "    def stamp(self, images):\n        return images.nothing\n"
    bad = write(tmp_path, "bad", f"from tfmeta.attacks.triggers.base import Trigger\n\n\nclass Bad(Trigger):\n{body}")
    words = ("run", "fine_tuning", "--dataset", "glyphs", "--plugin", bad, "--trigger", "bad", "--results", tmp_path)
    done = command(*words, *(["-v"] if verbose else []))
    assert f"\nError: {bad}, line 6, 'return images.nothing': AttributeError: " in f"\n{done.stderr}"
    assert ("Traceback" in done.stderr) == verbose and done.returncode == 1


def test_a_data_set_of_ones_own_is_opened(tmp_path):
    dots = write(tmp_path, "my_dots", ALL["datasets"])
    assert "\nmy-dots: 60 classes of 40 images, 20x20x1\n" in invoked("data", "--dataset", "my-dots", "--plugin", dots)


def test_a_data_sets_options_can_be_set(tmp_path):
    output = invoked("config", "--dataset", "image-folder", "--set", "folder=photos", "--changed")
    assert re.search(r"^folder +photos +text", output, re.M) and "data set image-folder" in output
    assert "nowhere" in refused("data", "--dataset", "image-folder", "--set", f"folder={tmp_path}/nowhere")


@pytest.mark.slow
def test_a_figure_with_a_defence_of_ones_own_is_drawn_and_read_back(halved, glyphs_bank, tmp_path):
    folders = ("--results", tmp_path / "results", "--out", tmp_path / "out")
    words = ("figure", "fig7", "--dataset", "glyphs", "--profile", "smoke", "--set", "runtime=inprocess", *folders)
    own = ("--plugin", halved, "--defence", "halved", "--set", "share=0.25")
    first = invoked(*words, *own)
    assert "fig7-glyphs-smoke-runtime=inprocess+defence=halved-" in first or "defence=halved" in first
    (document,) = (tmp_path / "results").glob("*defence*/matching-a.json")
    before = document.read_bytes()
    assert invoked(*words, *own).splitlines()[-1] == first.splitlines()[-1] and document.read_bytes() == before
    text = document.read_text()
    assert '"name": "halved"' in text and '"share": 0.25' in text and '"head": "softmax"' in text
    invoked(*words)  # the paper's own figure has a folder and files of its own
    assert len(list((tmp_path / "out").glob("fig7-*.pdf"))) == 2 and document.read_bytes() == before


@pytest.mark.slow
def test_the_delta_curve_of_a_defence_that_mixes(glyphs_bank, tmp_path):
    body = "delta: float = shared()"
    adapt = (
        "shares = [self.delta, *[(1 - self.delta) / (model.ways - 1)] * (model.ways - 1)]\n"
        "queries = sum(group.shape[0] for group in query_groups)\n"
        "return tf.tile(tf.constant(shares)[None, None], [len(points), queries, 1])"
    )
    own = write(tmp_path, "constant", defence(body, adapt))
    words = ("--dataset", "glyphs", "--profile", "smoke", "--set", "runtime=inprocess", "--defence", "constant")
    folders = ("--results", tmp_path / "results", "--out", tmp_path / "out")
    output = invoked("figure", "fig-delta", *words, "--plugin", own, *folders)
    assert "fig-delta-glyphs-smoke-" in output and "delta = 1" in output
