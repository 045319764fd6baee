"""The notebook: stored without outputs, it runs from start to end in a kernel. The tutorial is it with outputs."""

import ast
import base64
import io
import os
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest
from listening import OpenPorts
from nbclient import NotebookClient
from PIL import Image, ImageColor

from figures import style
from tfmeta import Simulation, registry

ROOT = Path(__file__).parents[2]
PATH = ROOT / "experiments" / "federated_backdoor.ipynb"
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"
CURVES = ("undefended", "matching", "variant")
FIGURES = ("owners", "rounds-plot", "poison", "poisoned-episode", "norms-plot", *CURVES, "mix", "network")
# What tfmeta says on machines whose kernel cannot seal the worker off from the network.
EXPECTED = "TFF's worker could not be shut off from the network"


def read():
    return nbformat.read(PATH, as_version=nbformat.NO_CONVERT)


def test_notebook_is_valid_and_stored_without_outputs():
    notebook = read()
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    nbformat.validate(notebook)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"  # whichever Python the reader's Jupyter runs it with
    for cell in notebook.cells:
        assert not cell.get("attachments") and not cell.metadata
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


def test_tutorial_is_the_notebook_with_outputs_of_glyphs_at_smoke():
    note, *cells = nbformat.read(TUTORIAL, as_version=nbformat.NO_CONVERT).cells
    assert "profile `smoke`" in note.source and "only that everything runs" in note.source
    # if this fails, run docs/tutorial.py
    assert [(cell.id, cell.source) for cell in cells] == [(cell.id, cell.source) for cell in read().cells]
    outputs = {cell.id: cell.outputs for cell in cells if cell.cell_type == "code"}
    drawn = {name for name, found in outputs.items() if any("image/png" in output.get("data", {}) for output in found)}
    assert drawn == set(FIGURES)
    for name in CURVES:
        assert any(re.search(r"main task +0\.\d\d \[", output.get("text", "")) for output in outputs[name])
    printed = outputs["open"][0].text
    assert "glyphs (drawn from fonts" in printed and "profile smoke" in printed


def test_tutorial_is_small_and_names_no_folder_of_a_machine():
    assert not TUTORIAL.is_symlink() and TUTORIAL.stat().st_size < 2_000_000
    assert not re.search(r"/(tmp|home|root|work)/", TUTORIAL.read_text(encoding="utf-8"))


# --- a whole run ---


class Run:
    """The executed notebook: `cells` by id, the `workers` that ran after each of them, the `results` folder."""

    def __init__(self, folder):
        self.results, self.workers = folder / "results", {}
        self._folder = folder / "somewhere"
        self._folder.mkdir()
        # the first cell proves that the kernel runs an event loop, as Jupyter does
        probe = nbformat.v4.new_code_cell("import asyncio\nasyncio.get_running_loop()", id="loop")
        notebook = read()
        notebook.cells.insert(0, probe)
        self._client = NotebookClient(notebook, timeout=240, kernel_name="python3")
        with self._client.setup_kernel(cwd=str(self._folder), env=self._environment()):
            self.kernel = self._client.km.provisioner.process.pid
            with OpenPorts(self.kernel):  # the kernel's own are open to this machine only
                for number, cell in enumerate(notebook.cells):
                    self._client.execute_cell(cell, number)
                    self.workers[cell.id] = self._workers()
        self.cells = {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}

    def _environment(self):
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "TFMETA_DATA"))}
        return kept | {
            "TFMETA_PROFILE": "smoke", "TFMETA_DATASET": "glyphs", "TFMETA_RESULTS": str(self.results),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip

    def _workers(self):
        children = psutil.Process(self.kernel).children(recursive=True)
        return [child.pid for child in children if child.name() == "worker_binary"]

    def text(self, cell, stream="stdout"):
        """Return what a cell printed."""
        outputs = self.cells[cell].outputs
        return "".join(output.text for output in outputs if output.get("name") == stream)

    def figures(self, cell):
        """Return the figures that a cell drew, each uint8 [H, W, 3]."""
        found = [
            output.data["image/png"] for output in self.cells[cell].outputs if "image/png" in output.get("data", {})
        ]
        return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data in found]

    def left_in_its_folder(self):
        return list(self._folder.iterdir())


@pytest.fixture(scope="module")
def run(tmp_path_factory, glyphs_bank):
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        # use none of the reader's kernels and settings, and leave nothing among them
        for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(folder / name))
        patch.delenv("JUPYTER_PATH", raising=False)
        yield Run(folder)


@pytest.mark.slow
def test_notebook_runs_inside_jupyters_event_loop_without_warnings(run):
    assert "running=True" in run.cells["loop"].outputs[0].data["text/plain"]
    for name in run.cells:
        said = run.text(name, "stderr")
        assert not said or said.startswith(EXPECTED), (name, said)
        assert "warning" not in run.text(name).lower(), name
        assert not any(output.output_type == "error" for output in run.cells[name].outputs)


@pytest.mark.slow
def test_rounds_run_in_one_worker_and_none_is_left_behind(run):
    order = list(run.workers)
    assert run.workers["signature"] == []
    (worker,) = run.workers["first-rounds"]
    during = order[order.index("first-rounds") : order.index("end")]
    assert all(run.workers[name] == [worker] for name in during)  # one worker, never restarted
    assert run.workers["end"] == []  # although the kernel still ran
    assert not psutil.pid_exists(run.kernel) and not psutil.pid_exists(worker)


@pytest.mark.slow
def test_figures_are_drawn_and_the_run_is_named(run):
    assert sorted(name for name in run.cells if run.figures(name)) == sorted(FIGURES)
    for name in FIGURES:
        (figure,) = run.figures(name)
        assert min(figure.shape[:2]) > 200 and len(Image.fromarray(figure).getcolors(1 << 24)) > 50
    assert "glyphs (drawn from fonts: a stand-in, not Omniglot); profile smoke (reduced" in run.text("open")


@pytest.mark.slow
@pytest.mark.parametrize("name", CURVES)
def test_four_accuracies_are_drawn_and_printed(run, name):
    (figure,) = run.figures(name)
    for metric, look in style.LOOKS.items():
        drawn = (figure == ImageColor.getrgb(look.color)).all(-1).sum()
        assert drawn > 200, metric
        printed = re.findall(rf"{look.label} +([\d.]+) \[([\d.]+), ([\d.]+)\]", run.text(name))
        assert len(printed) == 2
        for mean, low, high in printed:
            assert 0 <= float(low) <= float(mean) <= float(high) <= 1
    assert run.text(name).count("n = 2 tasks") == 2


@pytest.mark.slow
def test_measured_table_has_the_means_of_the_curves(run):
    table = run.cells["measure"].outputs[-1].data["text/plain"]
    mean = re.search(r"\bmain +([\d.]+) +2$", table, re.M)[1]
    drawn = re.search(r"main task +([\d.]+)", run.text("undefended").split("after the attack")[1])[1]
    assert float(mean) == pytest.approx(float(drawn), abs=0.006)


@pytest.mark.slow
def test_rounds_by_hand_equal_the_stored_ones(run):
    rounds = re.findall(r"^round (\d): user 2, user 3, user 4; loss \d\.\d+$", run.text("first-rounds"), re.M)
    assert rounds == ["1", "2"]
    assert "classes that any two of them share: 0\n" in run.text("owners")
    # the attack's round, repeated by hand, gives the stored model
    assert float(re.search(r"stored attacked model: (\S+)", run.text("send"))[1]) < 1e-5
    assert "θ = 14 tensors, 1,909 numbers" in run.text("signature")
    assert "client_data={job*}@CLIENTS" in run.text("signature")


@pytest.mark.slow
def test_bars_show_only_what_is_trained_now(run):
    assert "pre-training without backdoor classes: 100%" in run.text("pretrained")
    sent = run.text("send")
    assert "attacker, benign users without backdoor classes: 100%" in sent and "pre-training" not in sent
    for name in run.cells:
        assert "\x1b[A" not in run.text(name), name  # the output of a cell has no cursor to move up


@pytest.mark.slow
def test_trained_models_are_kept_and_nothing_else_is_left(run):
    sim = Simulation("glyphs", "smoke", results=run.results)
    sim.federation = lambda: pytest.fail("the models are there, but are trained again")
    kept = sim.timeline("a").folder("attack") / "round-00002.npz"
    assert kept.exists() and all(np.isfinite(part).all() for part in sim.weights("attacked", case="a"))
    assert {path.name for path in run.results.iterdir()} == {"models", "logs"}
    assert run.left_in_its_folder() == []


# --- what the notebook proposes to change ---


def proposals():
    text = next(cell.source for cell in read().cells if cell.id == "ideas")
    return re.findall(r"`((?:variant|sim) = [^`]+\))`", text)


def test_every_proposed_line_changes_the_configuration(tmp_path, glyphs_bank):
    given = {"DATASET": "glyphs", "PROFILE": "smoke", "RESULTS": tmp_path}
    sim = Simulation("glyphs", "smoke", results=tmp_path)
    made = []
    for line in proposals():
        call = ast.parse(line).body[0].value
        arguments = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg != "results"}
        if line.startswith("variant"):
            made.append(sim.variant(**arguments))
        else:
            made.append(Simulation(*(given[word.id] for word in call.args), results=given["RESULTS"], **arguments))
        assert made[-1].config != sim.config, line
    assert len(made) == 10
    assert "noise_mix" in registry.names("defences")
