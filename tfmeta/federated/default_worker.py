"""Makes our worker TFF's default as soon as TFF is imported, by whatever code.

TFF's own default starts a worker that listens on every network interface when the first computation is called. So
`import tfmeta` watches for the import of TFF, which takes seconds and is not made here.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

TFF, RUNTIME = "tensorflow_federated", "tfmeta.federated.tff.runtime"


class _Finder:
    """Finds TFF as the other finders do, but lets `RUNTIME` be imported right after it."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return TFF's spec, and None for every other module."""
        if name != TFF:
            return None
        others = (finder for finder in sys.meta_path if finder is not _Finder)
        spec = next((found for finder in others if (found := finder.find_spec(name, path, target))), None)
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_both(module: ModuleType) -> None:
                execute(module)
                importlib.import_module(RUNTIME)

            spec.loader.exec_module = execute_both
        return spec


def use_after_import() -> None:
    """Use our worker from TFF's import on, or from now on if TFF has been imported."""
    if TFF in sys.modules:
        importlib.import_module(RUNTIME)
    elif _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
