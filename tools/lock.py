"""Compile requirements.txt and requirements-gpu.txt from setup.py and tools/overrides*.txt: ``make lock``.

Pinned versions stay as they are where setup.py and the overrides allow them, unless with ``--upgrade``.
"""

import argparse
import runpy
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = "uv==0.13.9"  # compiles with overrides, which pip cannot
BUILDS = {"requirements.txt": "cpu", "requirements-gpu.txt": "gpu"}
TARGET = ("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_31")
WHEELS_ONLY = ("--only-binary", ":all:", "--no-binary", "jax")  # nobody needs a compiler; jax is plain Python
OUTPUT = ("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header", "--quiet")
HEADER = """\
# All that tfmeta needs, tests included, on Linux x86-64 with Python 3.11: {build}.
# Compiled by `make lock` from setup.py and tools/overrides*.txt; do not edit. Install it with `make env`, or with
#   pip install --no-deps -r {name}
# (--no-deps, since TFF's own pins cannot be met: setup.py says why).

"""


def requirements(build: str) -> str:
    """Return what setup.py asks for with TensorFlow's ``build``, "cpu" or "gpu", one requirement a line."""
    names = runpy.run_path(str(ROOT / "setup.py"), run_name="lock")
    return "\n".join([*names["REQUIRES"], *names["EXTRAS"][build], *names["EXTRAS"]["test"]])


def compile_lock(uv: Path, name: str, build: str, scratch: Path, upgrade: bool) -> str:
    """Return the text of the lock ``name``, resolved anew."""
    old, new = ROOT / name, scratch / name
    if old.exists():
        new.write_bytes(old.read_bytes())  # uv keeps the versions that its output file has
    overrides = ("--override", "tools/overrides.txt", "--override", f"tools/overrides-{build}.txt")
    command = [uv, "pip", "compile", "-", *TARGET, *WHEELS_ONLY, *OUTPUT, *overrides, "--output-file", new]
    command += ["--upgrade"] if upgrade else []
    silent = subprocess.DEVNULL
    subprocess.run(command, input=requirements(build), cwd=ROOT, stdout=silent, text=True, check=True)
    text = new.read_text(encoding="utf-8")
    if "://" in text:
        raise SystemExit(f"tfmeta: {name} would name a package index; check uv's configuration.")
    described = {"cpu": "TensorFlow for the CPU", "gpu": "TensorFlow for NVIDIA GPUs (CUDA 11.8)"}[build]
    return HEADER.format(build=described, name=name) + text


def main() -> None:
    """Compile both locks, then write both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions that fit")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        venv.create(scratch / "env", with_pip=True)
        python, uv = scratch / "env" / "bin" / "python", scratch / "env" / "bin" / "uv"
        try:
            subprocess.run([python, "-m", "pip", "install", "--quiet", UV], check=True)
            texts = {n: compile_lock(uv, n, b, scratch, arguments.upgrade) for n, b in BUILDS.items()}
        except subprocess.CalledProcessError as error:
            sys.exit(f"tfmeta: the locks stay as they were: {Path(error.cmd[0]).name} failed (see above).")
    for name, text in texts.items():
        (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
