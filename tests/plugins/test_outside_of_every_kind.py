"""A plug-in of each kind is one short file outside the package: a command runs it, through TFF, to a drawn figure."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from plugin_pages import PAGES, command_of, file_of, options_of, run

from tfmeta.store import results

PAPER = ["tfmeta", "figure", "fig5", "--profile", "smoke", "--dataset", "glyphs"]
# Two commands run at a time. Those of one chain share pre-trained models.
CHAINS = (("paper", "attacks", "triggers", "defences"), ("aggregations", "datasets", "models"))


@pytest.mark.parametrize("kind", PAGES)
def test_files_have_at_most_40_lines(kind):
    name, text = file_of(kind)
    assert text.count("\n") <= 40 and name.endswith(".py")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, cache_dir):
    """The folder of all commands, and by kind how its command ended."""
    folder = tmp_path_factory.mktemp("outside")
    for kind in PAGES:
        name, text = file_of(kind)
        (folder / name).write_text(text)

    def chain(kinds):
        return {kind: run(PAPER if kind == "paper" else command_of(kind), folder) for kind in kinds}

    with ThreadPoolExecutor() as threads:
        first, second = threads.map(chain, CHAINS)
    return folder, first | second


def document_of(folder, kind):
    """Return the path and content of case (b)'s document that a kind's plug-in decided."""
    name = file_of(kind)[0].removesuffix(".py") if kind in PAGES else "sum"
    found = {path: results.read(path) for path in folder.glob("results/*/fine_tuning-b.json")}
    if kind == "paper":
        return next(item for item in found.items() if not item[1]["changed"])
    return next(item for item in found.items() if [one["name"] for one in item[1]["plugins"][kind]] == [name])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", PAGES)
def test_the_command_of_a_page_draws_a_figure_with_the_plug_in(drawn, kind):
    folder, ended = drawn
    assert ended[kind].returncode == 0, ended[kind].stdout
    name = file_of(kind)[0].removesuffix(".py")
    (figure,) = (path for path in (folder / "figures" / "out").glob("*.png") if name in path.name)
    assert figure.stat().st_size > 10_000 and f"figures/out/{figure.name}" in ended[kind].stdout
    _, document = document_of(folder, kind)
    (entry,) = document["plugins"][kind]
    assert entry["origin"] == "outside"
    if kind != "datasets":  # whose options are in the digest of its images
        assert entry["options"].items() >= options_of(command_of(kind)).items()
    assert "starts a worker" in (folder / "results" / "logs" / "tff-worker.log").read_text()


def values_of(folder, kind):
    assert document_of(folder, kind)[0].exists()
    return results.read_values(document_of(folder, kind)[0])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "kind, decides",
    [
        ("attacks", lambda name: name.startswith("after/")),
        ("triggers", lambda name: name.startswith("after/") or "backdoor" in name),
        ("aggregations", lambda name: True),
        ("defences", lambda name: True),
        ("models", lambda name: True),
    ],
)
def test_a_plug_in_decides_what_it_should_and_nothing_else(drawn, kind, decides):
    paper, own = (values_of(drawn[0], one) for one in ("paper", kind))
    assert paper.keys() == own.keys()
    differing = {name for name in paper if not np.array_equal(paper[name], own[name])}
    assert differing and all(map(decides, differing))
    if kind in ("aggregations", "defences", "models"):  # which decide the model before the attack too
        assert any(name.startswith("before/") for name in differing)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_data_set_of_ones_own_is_what_was_trained_on(drawn):
    document = document_of(drawn[0], "datasets")[1]
    assert document["dataset"] == "gratings" and document["changed"] == {"data.noise": 30.0}
