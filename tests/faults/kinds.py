"""The kinds of files that a run stores: how each is known, and what a damaged one must lead to."""

import dataclasses
import enum
import random
import re

from places import Place


class Outcome(enum.Enum):
    """What the command does about a damaged file; the results are those of an undisturbed run in all cases."""

    AGAIN = "makes it again, and a warning names it"
    RESTORED = "writes it again, since it would do so anyway"
    REFUSED = "ends in a sentence that names it"
    UNREAD = "does not read it"


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of stored files.

    Args:
        name: What it is called.
        pattern: Regular expression of a file's whole path, relative to the place.
        outcome: What a damaged one leads to.
        reads: Patterns of files that have to be removed so that the command reads one of this kind.
        only: Pattern of those files of the kind that the command reads then, where it does not read all.
        beside: Suffix of a file that has to be deleted with it where it is refused.
    """

    name: str
    pattern: str
    outcome: Outcome
    reads: tuple[str, ...] = ()
    only: str = ".*"
    beside: str | None = None

    def matches(self, path: str) -> bool:
        """Return whether a file is of this kind."""
        return re.fullmatch(self.pattern, path) is not None


RUN, MODELS, HEX = r"results/glyphs-smoke[^/]*", r"results/models/glyphs", r"[0-9a-f]+"
DOCUMENTS = rf"{RUN}/fine_tuning-[abc]\.(json|npz)"
# what benign users that know no backdoor classes lead to: enough to read a file once
MEASURED = (rf"{RUN}/fine_tuning-a\.(json|npz)", rf"{RUN}/parts/unknown-.*")
ATTACKED = (*MEASURED, rf"{MODELS}-attack-unknown-{HEX}/round-.*")
TRAINED = (*MEASURED, rf"{MODELS}-attack-unknown-{HEX}/.*\.npz")
# benign users that know backdoor classes read every shard
WITH_ALL_SHARDS = (
    rf"{RUN}/fine_tuning-[bc]\.(json|npz)", rf"{RUN}/parts/known-.*", rf"{MODELS}-attack-known-{HEX}/.*npz",
)  # fmt: skip

KINDS = (
    Kind("bank array", rf"cache/banks/glyphs-{HEX}\.npy", Outcome.AGAIN),
    Kind("bank side file", rf"cache/banks/glyphs-{HEX}\.json", Outcome.AGAIN),
    Kind("bank lock", rf"cache/banks/glyphs-{HEX}\.lock", Outcome.UNREAD),
    Kind("shard", rf"cache/shards/glyphs-{HEX}-{HEX}\.u8", Outcome.AGAIN, WITH_ALL_SHARDS),
    Kind("attacker's images", rf"cache/shards/glyphs-images-{HEX}\.u8", Outcome.AGAIN, TRAINED),
    Kind("worker's log", r"results/logs/tff-worker\.log", Outcome.UNREAD),
    Kind("lock of a run", rf"{RUN}/\.lock", Outcome.UNREAD),
    Kind("document", rf"{RUN}/fine_tuning-[abc]\.json", Outcome.REFUSED, beside=".npz"),
    Kind("per-task values", rf"{RUN}/fine_tuning-[abc]\.npz", Outcome.REFUSED, beside=".json"),
    Kind("part", rf"{RUN}/parts/(un)?known-[^/]*\.npz", Outcome.REFUSED, (DOCUMENTS,)),
    Kind("lock of a model", rf"{MODELS}-[^/]*/\.lock", Outcome.UNREAD, TRAINED),
    Kind(
        "last checkpoint of pre-training", rf"{MODELS}-pretraining-[^/]*/round-00002\.npz", Outcome.REFUSED, ATTACKED,
        ".*-unknown-.*",
    ),
    Kind(
        "earlier checkpoint of pre-training", rf"{MODELS}-pretraining-[^/]*/round-00001\.npz", Outcome.REFUSED,
        (*TRAINED, rf"{MODELS}-pretraining-unknown-[^/]*/round-00002\.npz"), ".*-unknown-.*",
    ),
    Kind(
        "checkpoint of the attack", rf"{MODELS}-attack-[^/]*/round-[0-9]+\.npz", Outcome.REFUSED, MEASURED,
        ".*-unknown-.*",
    ),
    Kind("attacker's checkpoint", rf"{MODELS}-attack-[^/]*/attacker\.npz", Outcome.REFUSED, ATTACKED, ".*-unknown-.*"),
    Kind("figure (PDF)", r"out/fig5-glyphs-smoke[^/]*\.pdf", Outcome.RESTORED),
    Kind("figure (PNG)", r"out/fig5-glyphs-smoke[^/]*\.png", Outcome.RESTORED),
)  # fmt: skip


def kinds_of(path: str) -> list[str]:
    """Return the names of the kinds that a file is of: one, unless this list is wrong."""
    return [kind.name for kind in KINDS if kind.matches(path)]


def chosen(kind: Kind, place: Place, chance: random.Random) -> str:
    """Choose a file of a kind, and remove other files so that the command will read it; return its relative path."""
    files = place.files()
    name = chance.choice(sorted(name for name in files if kind.matches(name) and re.fullmatch(kind.only, name)))
    remove(place, kind.reads, but=name)
    return name


def remove(place: Place, patterns: tuple[str, ...], but: str | None = None) -> None:
    """Remove the files of a place whose relative paths match one of some patterns."""
    for name, path in place.files().items():
        if name != but and any(re.fullmatch(pattern, name) for pattern in patterns):
            path.unlink()
