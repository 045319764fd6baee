"""Figures show all that was measured, say what it is, and can be read; on made-up numbers in a test's own folder."""

import dataclasses
import itertools
import os
import subprocess
import sys

import matplotlib.colors
import numpy as np
import pytest
from drawing import caption, entry, lines_of

from figures import FIGURES, FigureSpec, source, style
from tfmeta.errors import ResultError
from tfmeta.store import results

pytestmark = pytest.mark.slow  # together they take longer than test-fast can afford


def test_fig5_shows_every_curve(made_up, drawn, tmp_path):
    folder = made_up(experiments=("fine_tuning",))
    paths = FIGURES["fig5"].draw(folder, tmp_path / "out")
    assert paths == [tmp_path / "out" / "fig5.pdf", tmp_path / "out" / "fig5.png"]
    assert paths[0].read_bytes().startswith(b"%PDF")
    panels = drawn["fig5"].axes
    assert len(panels) == 9
    for axes, (case, user) in zip(panels, itertools.product("abc", (2, 3, 4)), strict=True):
        for metric in style.LOOKS:
            measured = entry(folder, case, None if metric == "meta_test" else user, metric)
            (line,) = lines_of(axes, metric)
            np.testing.assert_allclose(line.get_xydata(), np.c_[measured["x"], 100 * np.array(measured["mean"])])
            (band,) = [
                band
                for band in axes.collections
                if matplotlib.colors.same_color(band.get_facecolor()[0, :3], style.LOOKS[metric].color)
            ]
            corners = band.get_paths()[0].vertices
            assert corners[:, 1].min() == pytest.approx(100 * min(measured["low"]))
            assert corners[:, 1].max() == pytest.approx(100 * max(measured["high"]))
        for metric in style.BACKDOORS:
            (line,) = lines_of(axes, metric, dashed=True)
            before = entry(folder, case, user, metric, "before")
            np.testing.assert_allclose(line.get_ydata(), 100 * np.array(before["mean"]))
            assert line.get_linewidth() < lines_of(axes, metric)[0].get_linewidth()
        low, high = axes.get_ylim()
        assert low <= 0 and high >= 100


def test_fig5_says_in_words_what_it_shows(made_up, drawn, tmp_path):
    FIGURES["fig5"].draw(made_up(experiments=("fine_tuning",)), tmp_path)
    figure = drawn["fig5"]
    titles = [(axes.get_title("left").strip(), axes.get_title().strip()) for axes in figure.axes]
    assert titles[:4] == [
        ("(a) backdoor classes not used by benign users", "user 2"),
        ("", "user 3"),
        ("", "user 4"),
        ("(b) backdoor classes used in benign pre-training", ""),
    ]
    assert titles[6][0] == "(c) backdoor classes used also in benign fine-tuning"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "meta-test", "main task", "backdoor, attack training", "backdoor, attack validation",
        "backdoor before the attack", "chance (1 of 5 classes)",
    ]  # fmt: skip
    assert caption(figure) == (
        "Omniglot; profile quick (reduced: smaller than the paper's experiment); mean and 95% interval (Student t "
        "over tasks), n = 10 tasks per curve; meta-test: the same for all users; seed 0; commit 0123456; "
        "MADE-UP NUMBERS, for a test."
    )


def test_fig3_marks_the_attack_and_states_each_n(made_up, drawn, tmp_path):
    folder = made_up(experiments=("meta_training",), dataset="glyphs")
    FIGURES["fig3"].draw(folder, tmp_path)
    panels = drawn["fig3-glyphs"].axes
    assert len(panels) == 3
    for axes, case in zip(panels, "abc", strict=True):
        for metric in style.LOOKS:
            (line,) = lines_of(axes, metric)
            measured = entry(folder, case, None, metric, experiment="meta_training")
            np.testing.assert_allclose(line.get_ydata(), 100 * np.array(measured["mean"]))
        (span,) = axes.patches
        assert (span.get_x(), span.get_width()) == (1, 1)  # between round 1 and the model that it made
        assert axes.get_title("left").startswith(f"({case}) backdoor")
    words = caption(drawn["fig3-glyphs"])
    assert "n = 10 tasks (meta-test), 30 tasks (main task, attack training, attack validation)" in words
    assert "a stand-in, not Omniglot" in words


def test_captions_tell_profiles_apart(made_up, drawn, tmp_path):
    FIGURES["fig3"].draw(made_up(experiments=("meta_training",), profile="paper"), tmp_path)
    assert caption(drawn["fig3-paper"]).startswith("Omniglot; profile paper; mean")


def test_a_variant_has_files_and_a_caption_of_its_own(made_up, drawn, tmp_path):
    plain = FIGURES["fig3"].draw(made_up(experiments=("meta_training",)), tmp_path)
    before = [path.read_bytes() for path in plain]
    changed = {"attack.boost": 5.0, "attack.episodes": 300}
    variant = FIGURES["fig3"].draw(made_up(experiments=("meta_training",), changed=changed), tmp_path)
    assert [path.name for path in variant] == [f"fig3-boost=5.0+episodes=300.{kind}" for kind in ("pdf", "png")]
    words = "experiment) with boost = 5.0 (profile: 3.0), episodes = 300 (profile: 150); mean"
    assert words in caption(drawn["fig3-boost=5.0+episodes=300"])
    assert [path.read_bytes() for path in plain] == before


@pytest.mark.parametrize(
    ("name", "run", "stem"),
    [
        ("fig3", {"profile": "smoke"}, "fig3-smoke"),
        ("fig3", {"dataset": "glyphs"}, "fig3-glyphs"),
        ("fig3", {"dataset": "glyphs", "profile": "smoke", "changed": {"defence.delta": 0.5}},
         "fig3-glyphs-smoke-delta=0.5"),
        ("fig4", {"dataset": "mini-imagenet"}, "fig4"),
        ("fig4", {"dataset": "glyphs-color", "profile": "desk"}, "fig4-glyphs-color-desk"),
        ("fig-delta", {}, "fig-delta"),
        ("fig-delta", {"dataset": "mini-imagenet"}, "fig-delta-mini-imagenet"),
    ],
)  # fmt: skip
def test_files_are_named_after_what_is_not_the_default(made_up, tmp_path, name, run, stem):
    spec = FIGURES[name]
    run = source.Run.read(spec, made_up(experiments=spec.experiments, **run))
    assert run.stem == stem


def test_a_caption_leaves_out_a_changed_field_that_the_experiment_sets_itself(made_up, drawn, tmp_path):
    folder = made_up(experiments=("figA1",), head="matching", changed={"defence.delta": 0.5, "attack.boost": 5.0})
    for case in "abc":
        found, values = results.load(results.path_of(folder, "figA1", case))
        found["config"]["defence"]["delta"] = 0.6
        results.write(folder, found, values)
    (path, _) = FIGURES["figA1"].draw(folder, tmp_path)
    words = caption(drawn[path.stem])
    assert "mixed with delta = 0.6" in words and "with boost = 5.0 (profile: 3.0); mean" in words and "0.5" not in words


def test_a_caption_says_in_which_cases_other_or_unrecorded_code_took_part(made_up):
    folder = made_up(experiments=("fine_tuning",))

    def change(case, leave_out=(), **more):
        found, values = results.load(results.path_of(folder, "fine_tuning", case))
        found["provenance"].update(more)
        results.write(folder, {name: value for name, value in found.items() if name not in leave_out}, values)

    def words():
        return source.Run.read(FIGURES["fig5"], folder).caption()

    assert "kept" not in words() and "recorded" not in words()
    change("b", kept=["model x: y differs"])
    assert "; stored files of other code were kept (provenance names them), in case (b)." in words()
    change("a", unrecorded=["model x: computed before the code was recorded"])
    change("c", leave_out=("code", "plugins"))
    assert words().endswith("; the code that computed some stored files is not recorded, in case (a) and (c).")
    change("b", leave_out=("code", "plugins"))
    assert words().endswith("; the code that computed some stored files is not recorded.")


def test_run_words_of_an_unknown_field_or_data_set_give_the_value_only():
    assert source.run_words("omniglot", "quick", {"defence.delta": 0.5, "defence.new": 1})[1].endswith(
        " with delta = 0.5 (profile: 0.3), defence.new = 1"
    )
    assert source.run_words("birds", "quick", {"defence.delta": 0.5})[0] == "birds (not a data set of the paper)"
    assert source.run_words("birds", "quick", {"defence.delta": 0.5})[1].endswith(" with delta = 0.5")


def test_the_grid_draws_other_heads_and_experiments(made_up, drawn, tmp_path):
    folder = made_up(dataset="mini-imagenet", experiments=("figA9", "fine_tuning"), head="matching", users=(2, 4), n=7)
    spec = FigureSpec("figA9", "", ("figA9",), about=("mini-imagenet",), head="matching")
    paths = spec.draw(folder, tmp_path)
    assert [path.name for path in paths] == ["figA9.pdf", "figA9.png"]
    assert len(drawn["figA9"].axes) == 6 and "n = 7 tasks per curve" in caption(drawn["figA9"])
    with pytest.raises(ResultError, match=r"fine_tuning-a\.json has no curve of meta_test, head softmax, .* user 2"):
        dataclasses.replace(spec, experiments=("fine_tuning",), head="softmax").draw(folder, tmp_path)


def overlaps(boxes):
    """Return pairs of named boxes that overlap by more than 0.5 pixels."""
    return [
        (a, b)
        for (a, p), (b, q) in itertools.combinations(boxes.items(), 2)
        if min(p.x1, q.x1) - max(p.x0, q.x0) > 0.5 and min(p.y1, q.y1) - max(p.y0, q.y0) > 0.5
    ]


@pytest.mark.parametrize("name", ["fig3", "fig5", "figA5", "fig-delta"])
def test_nothing_overlaps_or_leaves_the_page(made_up, drawn, tmp_path, name):
    folder = made_up(dataset="glyphs", profile="smoke", experiments=FIGURES[name].experiments, head=FIGURES[name].head)
    FIGURES[name].draw(folder, tmp_path)
    figure = drawn[f"{name}-glyphs-smoke"]
    figure.draw_without_rendering()
    boxes = {"caption": figure.texts[-1].get_window_extent(), "legend": figure.legends[0].get_window_extent()}
    for number, axes in enumerate(figure.axes):
        boxes[f"panel {number}"] = axes.get_window_extent()
        ticks = [
            tick.label1
            for axis in (axes.xaxis, axes.yaxis)
            for tick in axis.get_major_ticks()
            if axis.get_view_interval()[0] <= tick.get_loc() <= axis.get_view_interval()[1]
        ]
        above = [text for child in axes.child_axes for text in (child.xaxis.label, *child.get_xticklabels())]
        for text in [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *ticks, *above]:
            if text.get_text().strip():
                boxes[f"{text.get_text()} {number} {len(boxes)}"] = text.get_window_extent()
    assert len(boxes) > 6 * len(figure.axes)
    # the first row's title has an empty second line, where the columns' titles stand
    found = [pair for pair in overlaps(boxes) if not {"(a)", "user"} <= {word.strip()[:4].strip() for word in pair}]
    assert found == []
    width, height = figure.canvas.get_width_height()
    for what, box in boxes.items():
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, (what, box)


def lightness(color):
    """CIE L* of a colour: what is left of it in a grey print and for most colour-blind readers."""
    rgb = np.array(matplotlib.colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return 116 * np.cbrt(y) - 16 if y > 0.008856 else 903.3 * y


def test_curves_can_be_told_apart_without_colour():
    tones = [lightness(look.color) for look in style.LOOKS.values()]
    assert np.diff(tones).min() >= 10, tones  # black, purple, blue, green: each lighter than the last
    assert max(tones) <= 70  # and still dark on white paper
    assert len({look.marker for look in style.LOOKS.values()}) == 4


@pytest.mark.parametrize("points", [1, 2, 4, 7, 13, 53, 103])
def test_curves_that_coincide_are_still_marked(points):
    with style.page(2) as figure:
        axes = figure.subplots()
        style.accuracy_axes(axes, range(points), 0.2, True)
        for metric in style.LOOKS:
            full = [1.0] * points
            curve = {"metric": metric, "x": list(range(points)), "mean": full, "low": full, "high": full}
            style.curve(axes, curve)
        marked = []
        for line in axes.lines:
            if line.get_marker() not in (None, "None", ""):
                start, step = line.get_markevery()
                marked.append(set(range(points)[start::step]))
    assert len(marked) == 4 and all(marked)
    if points >= 4:
        assert sum(map(len, marked)) == len(set().union(*marked))  # never two at one point
        assert max(map(len, marked)) <= 8


@pytest.mark.slow
def test_a_figure_has_the_same_bytes_in_every_process(made_up, tmp_path):
    folder = made_up(experiments=("meta_training",))
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nfont.size: 30\nfigure.facecolor: red\n")
    code = "import sys; from figures import FIGURES; FIGURES['fig3'].draw(*sys.argv[1:])"
    for name, more in (("x", {}), ("y", {"PYTHONHASHSEED": "7", "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")})):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **more}
        command = [sys.executable, "-B", "-c", code, folder, tmp_path / name]
        subprocess.run(command, check=True, env=environment, cwd=tmp_path, timeout=120)
    for kind in ("pdf", "png"):
        first = (tmp_path / "x" / f"fig3.{kind}").read_bytes()
        assert first == (tmp_path / "y" / f"fig3.{kind}").read_bytes()
        assert b"CreationDate" not in first


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fig7", "Omniglot; matching networks on weights mixed with delta = 0.3; profile quick"),
        ("figA5", "matching networks on weights mixed with delta = 0.3, another set of tasks (task_seed 1); profile"),
        ("figA6", "Omniglot; supervised fine-tuning from weights mixed with delta = 0.3; profile quick"),
    ],
)
def test_a_caption_says_what_was_done(made_up, drawn, tmp_path, name, words):
    FIGURES[name].draw(made_up(experiments=FIGURES[name].experiments, head=FIGURES[name].head), tmp_path)
    assert words in caption(drawn[name])
