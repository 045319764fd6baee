"""Which stored files a run may use: those that the present code would compute again, or that the user accepts.

Code outside the package is the researcher's own and changes often: what it computed is computed anew. If the package's
own modules have changed, the run stops, and the user decides.
"""

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tfmeta.errors import CodeChangedError, check_known
from tfmeta.store import checkpoints, npz, provenance
from tfmeta.store.compare import Difference, without

POLICIES = ("check", "fresh", "keep")
NOT_RECORDED = "computed before the code was recorded"
log = logging.getLogger(__name__)


class Accepted(NamedTuple):
    """What has to be said of a file that is used, one sentence for each file that it rests on; most often nothing.

    Attributes:
        kept: Those that other code computed.
        unrecorded: Those of which it is not recorded which code computed them.
    """

    kept: Sequence[str] = ()
    unrecorded: Sequence[str] = ()


NOTHING = Accepted()


class Used:
    """What was loaded or saved meanwhile: the plug-ins and code of all files, and what of them was only accepted."""

    def __init__(self) -> None:
        self.plugins: dict[str, list[dict[str, Any]]] = {}
        self.code: dict[str, str] = {}
        self.kept: list[str] = []
        self.unrecorded: list[str] = []
        self.unknown: set[str] = set()  # modules that decided unrecorded files: nobody knows what they were then

    def identity(self) -> dict[str, Any]:
        """Return `plugins` and `code` as a document has them, without digests of what is unknown."""
        plugins = {
            kind: [without({"plugins": {kind: one}}, self.unknown)["plugins"][kind] for one in entries]
            for kind, entries in self.plugins.items()
        }
        return {"plugins": plugins, "code": without({"code": self.code}, self.unknown)["code"]}

    def add(self, manifest: Mapping[str, Any], accepted: Accepted, unknown: Iterable[str] = ()) -> None:
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
        for all_of_them, more in ((self.kept, accepted.kept), (self.unrecorded, accepted.unrecorded)):
            all_of_them += [sentence for sentence in more if sentence not in all_of_them]
        self.unknown.update(unknown)


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
        self._warned, self._doubtful, self._counted = False, set(), 0

    @contextlib.contextmanager
    def collecting(self) -> Iterator[Used]:
        """Yield what is loaded and saved within the block; what is saved there says what of that was only accepted."""
        self._collecting.append(used := Used())
        try:
            yield used
        finally:
            self._collecting.remove(used)
            if not self._collecting:
                self._count()

    def load(self, path: Path, manifest: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
        """Return the arrays of a checkpoint; None if it has to be computed, since it is missing or of other code.

        Raises:
            CodeChangedError: the package's own code differs, and the policy is "check".
            ResultError: it is damaged, or of another configuration or other data.
        """
        if not npz.exists(path):
            return None
        found = checkpoints.load(path, manifest)
        accepted, unknown = self.accepted(path, found.difference, found.about), found.difference.unknown
        if accepted is None:
            return None
        if self.policy == "keep" and found.difference.modules:  # so that the user is asked once
            checkpoints.save(path, found.arrays, without(manifest, unknown), {**found.about, "kept": accepted.kept})
        self.note(manifest, accepted, unknown)
        return found.arrays

    def save(self, path: Path, arrays: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> None:
        """Write a checkpoint, with the commit of this process and what was accepted for it.

        It does not claim the present code for what unrecorded files decided. Errors as in `checkpoints.save`.
        """
        used = self._collecting[-1] if self._collecting else Used()
        accepted = Accepted(list(used.kept), list(used.unrecorded))
        said = {name: sentences for name, sentences in accepted._asdict().items() if sentences}
        checkpoints.save(path, arrays, without(manifest, used.unknown), {"commit": provenance.this_commit(), **said})
        self.note(manifest, accepted, used.unknown)

    def note(
        self, manifest: Mapping[str, Any], accepted: Accepted = NOTHING, unknown: Iterable[str] = ()
    ) -> None:  # fmt: skip
        """Tell all open `collecting` blocks what was used."""
        for used in self._collecting:
            used.add(manifest, accepted, unknown)

    def accepted(self, path: Path, difference: Difference, about: Mapping[str, Any]) -> Accepted | None:
        """Return what has to be said of a file that is used, and warn if it is something; None: compute it again.

        Args:
            path: The file.
            difference: How it differs from what would be computed now.
            about: `commit`, which computed it, and `kept` and `unrecorded`, what was accepted for it.

        Raises:
            CodeChangedError: as `load`.
        """
        kept, unrecorded = list(about.get("kept", ())), list(about.get("unrecorded", ()))
        commit = _short(about.get("commit", "unknown"))
        if difference.outside:
            log.info("%s is computed anew: the code or options of %s differ", path, ", ".join(difference.outside))
            return None
        if self.policy == "fresh":
            same = not (kept or unrecorded or difference.modules) and difference.recorded
            return NOTHING if same else None
        if not difference.recorded:
            unrecorded.append(f"{_called(path)}: {NOT_RECORDED}")
        words = _listed(difference.modules)
        if difference.modules and self.policy == "keep":
            kept.append(f"{_called(path)}: {words} from the code that computed it (commit {commit})")
        if self.policy == "keep" or not difference.modules:
            accepted = Accepted(*(list(dict.fromkeys(sentences)) for sentences in (kept, unrecorded)))
            self._warn(path, [*accepted.kept, *accepted.unrecorded])
            return accepted
        here = _short(provenance.this_commit())
        raise CodeChangedError(
            f"{path} was computed by other code: {words} (stored by commit {commit}; this is {here}). Compute again "
            "with --fresh, or accept with --keep (the result then says so)"
        )

    def _warn(self, path, sentences):
        """Warn, once a run, of the first file that is used although other or unknown code computed (some of) it."""
        if not sentences:
            return
        self._doubtful.add(path)
        if not self._warned:
            more = f"; and {len(sentences) - 1} more" if len(sentences) > 1 else ""
            log.warning(
                "%s is used as it is, like all such files of this run (%s%s); to compute them again, use --fresh",
                path, sentences[0], more,
            )  # fmt: skip
        self._warned = True

    def _count(self):
        """Say how many such files there were, when there is more than the one that the warning named."""
        if len(self._doubtful) > max(self._counted, 1):
            log.info("%d stored files of other or unrecorded code were used", len(self._doubtful))
        self._counted = len(self._doubtful)


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
    """Return what a sentence calls a file: a result, or else its folder, since what holds for one holds for others."""
    if path.suffix == ".json":
        return f"result {path.stem} of {path.parent.name}"
    return f"measurements of {path.parent.parent.name}" if path.parent.name == "parts" else f"model {path.parent.name}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more} differ" + ("s" if len(names) == 1 else "")


def _short(commit: str) -> str:
    return commit if commit == "unknown" else commit[:7] + commit[40:]
