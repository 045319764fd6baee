"""Which stored files a run may use: those that the present code would compute again, or that the user accepts.

Code outside the package is the reader's own and changes often: what it computed is computed anew. If the package's own
modules have changed, the run stops, and the user decides.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfmeta.errors import CodeChangedError, check_known
from tfmeta.store import checkpoints, provenance
from tfmeta.store.compare import Difference

POLICIES = ("check", "fresh", "keep")
NOT_RECORDED = "computed before the code was recorded"
log = logging.getLogger(__name__)


class Used:
    """What was loaded or saved meanwhile: the plug-ins and code of all files, and what of them was only accepted."""

    def __init__(self) -> None:
        self.plugins: dict[str, list[dict[str, Any]]] = {}
        self.code: dict[str, str] = {}
        self.kept: list[str] = []

    def add(self, manifest: Mapping[str, Any], kept: Sequence[str] = ()) -> None:
        """Add the plug-ins and code of a manifest; of options that a plug-in was used with, those that never differ."""
        for kind, entry in manifest.get("plugins", {}).items():
            entries = self.plugins.setdefault(kind, [])
            same = next((one for one in entries if one["name"] == entry["name"]), None)
            if same is None:
                entries.append(dict(entry))
            else:
                given = entry["options"]
                same["options"] = {key: value for key, value in same["options"].items() if given.get(key) == value}
        self.code |= manifest.get("code", {})
        self.kept += [sentence for sentence in kept if sentence not in self.kept]


class StoredFiles:
    """The checkpoints and documents of one run, and what it does with those that other code computed.

    Args:
        policy: "check" stops at a file that other code of the package computed; "fresh" computes such files again;
            "keep" accepts them, and results say so.
    """

    def __init__(self, policy: str = "check"):
        check_known("way to treat stored files of other code", policy, POLICIES)
        self.policy = policy
        self._collecting: list[Used] = []
        self._warned = False

    @contextlib.contextmanager
    def collecting(self) -> Iterator[Used]:
        """Yield what is loaded and saved within the block; what is saved there says what of that was only accepted."""
        self._collecting.append(used := Used())
        try:
            yield used
        finally:
            self._collecting.remove(used)

    def load(self, path: Path, manifest: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
        """Return the arrays of a checkpoint; None if it has to be computed, since it is missing or of other code.

        Raises:
            CodeChangedError: the package's own code differs, and the policy is "check".
            ResultError: it is damaged, or of another configuration or other data.
        """
        if not path.exists():
            return None
        found = checkpoints.load(path, manifest)
        kept = self.accepted(path, found.difference, found.about)
        if kept is None:
            return None
        if self.policy == "keep" and found.difference.modules:  # so that the user is asked once
            checkpoints.save(path, found.arrays, manifest, {**found.about, "kept": kept})
        self.note(manifest, kept)
        return found.arrays

    def save(self, path: Path, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> None:
        """Write a checkpoint, with the commit of this process and what was accepted for it; errors as in `save`."""
        kept = self._collecting[-1].kept if self._collecting else []
        about = {"commit": provenance.this_commit(), **({"kept": kept} if kept else {})}
        checkpoints.save(path, arrays, manifest, about)
        self.note(manifest, kept)

    def note(self, manifest: Mapping[str, Any], kept: Sequence[str] = ()) -> None:
        """Tell all open `collecting` blocks what was used."""
        for used in self._collecting:
            used.add(manifest, kept)

    def accepted(self, path: Path, difference: Difference, about: Mapping[str, Any]) -> list[str] | None:
        """Return what has to be said of a file that is used (nothing, most often); None if it is computed again.

        Args:
            path: The file.
            difference: How it differs from what would be computed now.
            about: `commit`, which computed it, and `kept`, what was accepted for it.

        Raises:
            CodeChangedError: as `load`.
        """
        kept, commit = list(about.get("kept", ())), _short(about.get("commit", "unknown"))
        if difference.outside:
            log.info("%s is computed anew: the code or options of %s differ", path, ", ".join(difference.outside))
            return None
        if self.policy == "fresh":
            return None if kept or difference.modules or not difference.recorded else []
        if not difference.recorded:
            self._warn(path)
            return list(dict.fromkeys([*kept, f"{_called(path)}: {NOT_RECORDED}"]))
        if not difference.modules:
            return kept
        words = _listed(difference.modules)
        if self.policy == "keep":
            return list(dict.fromkeys([*kept, f"{_called(path)}: {words} (commit {commit})"]))
        here = _short(provenance.this_commit())
        raise CodeChangedError(
            f"{path} was computed by other code: {words} (stored by commit {commit}; this is {here}). Compute again "
            "with --fresh, or accept with --keep (the result then says so)"
        )

    def _warn(self, path):
        if not self._warned:
            log.warning(
                "%s was %s, and is used as it is, like all such files of this run; to compute them again, use --fresh",
                path, NOT_RECORDED,
            )  # fmt: skip
        self._warned = True


def identity_of(document: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, list[dict[str, Any]]]]:
    """Return the digests of the package's modules that a document has, and its outside plug-ins, by kind."""
    modules, outside = dict(document.get("code", {})), {}
    for kind, entries in document.get("plugins", {}).items():
        for entry in entries:
            if isinstance(entry["code"], dict):
                modules |= entry["code"]
            else:
                outside.setdefault(kind, []).append(entry)
    return modules, outside


def _called(path: Path) -> str:
    """Return what a sentence calls a file: its folder, since what holds for one holds for the others in it."""
    return path.parent.name


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} differ" + ("s" if len(names) == 1 else "")


def _short(commit: str) -> str:
    return commit if commit == "unknown" else commit[:7] + commit[40:]
