"""Compile the requirements*.txt from setup.py and tools/overrides*.txt: `make lock`.

Pinned versions stay as they are where setup.py and the overrides allow them, unless they are to be upgraded.
"""

import argparse
import runpy
import sys
import tempfile
from pathlib import Path

from installer import ROOT, TOOLS, Installer

OVERRIDES = ("--overrides=tools/overrides.txt", "--overrides=tools/overrides-{}.txt")
PURPOSE = "all that tfmeta needs, tests included, with TensorFlow for {}"
LOCKS = {  # file -> the lists of setup.py that it answers, uv's options, and what the lock is for
    "requirements.txt": (("cpu", "test"), OVERRIDES, PURPOSE.format("the CPU")),
    "requirements-gpu.txt": (("gpu", "test"), OVERRIDES, PURPOSE.format("NVIDIA GPUs (CUDA 11.8)")),
    "requirements-docs.txt": (
        ("docs",), ("--constraints=requirements.txt",),  # one version of what both need
        "what builds the documentation site, in an environment of its own",
    ),
    "requirements-audit.txt": (("audit",), (), "what looks up known vulnerabilities, in an environment of its own"),
    TOOLS: (("tools",), (), "what sets up the environments"),
}  # fmt: skip
TARGET = ("--python-version=3.11", "--python-platform=x86_64-manylinux_2_31")
WHEELS_ONLY = ("--only-binary=:all:", "--no-binary=jax")  # nobody needs a compiler; jax is plain Python
OUTPUT = ("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-header", "--quiet")
HEADER = """\
# For Linux x86-64 with Python 3.11: {purpose}.
# Compiled by `make lock` from setup.py and tools/overrides*.txt; do not edit. Install it with make, or with
#   pip install --no-deps -r {name}
# (--no-deps, since TFF's own pins cannot be met: setup.py says why).

"""


def requirements(extras: tuple[str, ...]) -> str:
    """Return what setup.py asks for with `extras`, one requirement a line; only the tests need tfmeta itself."""
    lists = runpy.run_path(str(ROOT / "setup.py"), run_name="lock")
    wanted = list(lists["REQUIRES"]) if "test" in extras else []
    return "\n".join([*wanted, *(line for extra in extras for line in lists["EXTRAS"][extra])])


def compile_lock(installer: Installer, name: str, scratch: Path, upgrade: list[str]) -> str:
    """Return the text of the lock `name`, resolved anew."""
    extras, options, purpose = LOCKS[name]
    asked, new = scratch / f"{name}.in", scratch / name
    asked.write_text(requirements(extras), encoding="utf-8")
    if (ROOT / name).exists():
        new.write_bytes((ROOT / name).read_bytes())  # uv keeps the versions that its output file has
    files = (str(asked), "--output-file", str(new))
    more = [option.format(extras[0]) for option in options]
    installer.uv("compile", *files, *TARGET, *WHEELS_ONLY, *OUTPUT, *more, *upgrade)
    # The scratch folder is named where setup.py is meant.
    text = new.read_text(encoding="utf-8").replace(f"-r {asked}", "setup.py")
    if "://" in text:
        sys.exit(f"tfmeta: {name} would name a package index: check uv's configuration.")
    return HEADER.format(purpose=purpose, name=name) + text


def main() -> None:
    """Compile all locks, then write them all, so that they stay as they were if one cannot be compiled."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("upgrade", nargs="?", default="", help="packages to take the newest of; 1 for all")
    words = parser.parse_args().upgrade.split()
    upgrade = [f"--upgrade-package={word}" for word in words if word not in ("0", "no", "false")]
    upgrade = ["--upgrade"] if words in (["1"], ["yes"], ["true"]) else upgrade
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        installer = Installer(scratch)
        installer.create()
        installer.variables |= {"PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}  # a lock is for other machines too
        texts = {name: compile_lock(installer, name, scratch, upgrade) for name in LOCKS}
    for name, text in texts.items():
        (ROOT / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
