"""Write docs/tutorial.ipynb: the notebook with its outputs at the profile smoke on glyphs, which are drawn from fonts.

Run `.venv/bin/python docs/tutorial.py` whenever the notebook changes. It never uses Omniglot or mini-ImageNet, so no
image of theirs is committed.
"""

import os
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK, TUTORIAL = ROOT / "experiments" / "federated_backdoor.ipynb", ROOT / "docs" / "tutorial.ipynb"
NOTE = """\
> The outputs on this page are of the profile `smoke` on `glyphs`, a stand-in for Omniglot drawn from fonts. They show
> only that everything runs. The page *What is reproduced* has results on real data."""


def main() -> None:
    """Run the notebook in an empty folder and write the tutorial, without times and paths of this machine."""
    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TFMETA_DATA")}
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        chosen = {"TFMETA_PROFILE": "smoke", "TFMETA_DATASET": "glyphs", "TFMETA_RESULTS": str(results)}
        client = NotebookClient(notebook, timeout=600, kernel_name="python3")
        client.execute(cwd=folder, env=kept | chosen | {"PYTHONPATH": str(ROOT)})
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = _clean(cell.outputs, folder)
    notebook.metadata = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT).metadata
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell(NOTE, id="outputs"))
    nbformat.write(notebook, TUTORIAL)


def _clean(outputs, folder):
    """Return the outputs without progress bars and what was said on stderr, which are about this machine."""
    text = "".join(output.text for output in outputs if output.get("name") == "stdout")
    text = re.sub(r"[^\n]*%\|[^\n]*\n?", "", text.replace("\r", "\n")).strip("\n").replace(f"{folder}/", "")
    stream = [nbformat.v4.new_output("stream", name="stdout", text=f"{text}\n")] if text else []
    return [*stream, *(output for output in outputs if output.output_type != "stream")]


if __name__ == "__main__":
    main()
