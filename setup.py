"""Package tfmeta. Install it with `make env`: a plain `pip install .` cannot resolve, and this says why.

TensorFlow Federated 0.87 asks for exactly `jaxlib==0.4.14`, a release that no package index carries any more, so
every resolver gives up on the requirements below. They resolve only with overrides (tools/overrides*.txt:
`jaxlib==0.4.13`, and some heavy packages left out that nothing here imports). `make lock` does that and writes the
answer, with hashes, to requirements.txt (`tensorflow-cpu`) and requirements-gpu.txt (`tensorflow` and CUDA 11.8).
What `make env` does can also be done by hand, in a fresh Python 3.11 environment on Linux x86-64 with glibc 2.31 or
newer:

    pip install --no-deps -r requirements.txt        # for a GPU requirements-gpu.txt (make fig5 GPU=1)
    pip install --no-deps --no-build-isolation -e .

The lists here are the lock's input (tools/lock.py reads REQUIRES and EXTRAS) and the package's metadata.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

REQUIRES = [
    "tensorflow-federated==0.87.0",
    "numpy>=1.25,<1.26",
    "pandas>=2,<3",
    "scipy",  # comes with TFF too; Student's t
    "matplotlib>=3.8",
    "pillow>=10",
    "tqdm",
    "click>=8.1",
    "jsonschema>=4.19",
    "filelock",
    "platformdirs",
    "pooch>=1.8",
    "psutil",
    "setuptools<81",  # tensorboard 2.14 and google.rpc import pkg_resources, which later ones drop
]

# One of cpu and gpu is always needed: tensorflow-cpu fills the place of the tensorflow that TFF asks for.
EXTRAS = {
    "cpu": ["tensorflow-cpu==2.14.1"],
    "gpu": ["tensorflow[and-cuda]==2.14.1"],
    # IPython 8.23 needs a newer typing_extensions than the 4.5 that TFF pins: no notebook's kernel would start
    "test": ["pytest", "pytest-timeout", "hypothesis", "ruff", "nbclient", "nbformat", "ipykernel", "ipython<8.23"],
    # For an environment of their own, .venv-docs; ruff formats the signatures.
    "docs": ["mkdocs-material", "mkdocstrings[python]", "mkdocs-jupyter", "ruff"],
    "audit": ["pip-audit"],  # for an environment of its own, .venv-audit
    "tools": ["pip", "uv"],  # what sets up the environments
}


def version() -> str:
    """Return `__version__` of tfmeta/__init__.py, read without importing it."""
    text = (Path(__file__).parent / "tfmeta" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1)


if __name__ == "__main__":
    setup(
        name="tfmeta",
        version=version(),
        description="Backdoor attacks on federated meta-learning, and a defence, with TensorFlow Federated",
        license="Apache-2.0",
        python_requires="==3.11.*",
        packages=find_packages(exclude=["tests", "tests.*"]),
        package_data={"tfmeta.store": ["*.json"], "tfmeta.datasets": ["*/*.json"]},
        install_requires=REQUIRES,
        extras_require=EXTRAS,
        entry_points={"console_scripts": ["tfmeta = tfmeta.__main__:main"]},
        classifiers=[
            "Programming Language :: Python :: 3.11",
            "Operating System :: POSIX :: Linux",
            "Topic :: Scientific/Engineering :: Artificial Intelligence",
        ],
    )
