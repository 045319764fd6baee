"""`tfmeta cache`: what is stored, what uses it, and the removal of what nothing uses."""

import fnmatch
import itertools
import textwrap
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from tfmeta import inventory
from tfmeta.errors import ConfigError, StorageError
from tfmeta.inventory import DAMAGED, FOREIGN, LISTED, UNFINISHED, UNKNOWN, UNUSED, USED, Entry, removal

DAY = 86400  # seconds
_TITLES = {
    "banks": "image banks", "shards": "clients' images (shards)", "models": "models",
    "parts": "results and their parts", "data": "downloaded data, and what else is in the cache",
}  # fmt: skip


def named(entries: Iterable[Entry], names: Sequence[str]) -> list[Entry]:
    """Return the entries that some names or patterns mean, all if there are none.

    Raises:
        ConfigError: a name means nothing.
    """
    entries = list(entries)
    for name in names:
        if not any(_means(name, entry) for entry in entries):
            raise ConfigError(f"{name}: nothing stored has this name; `tfmeta cache` lists what there is")
    return [entry for entry in entries if any(_means(name, entry) for name in names)] if names else entries


def text(entries: Sequence[Entry], places: dict[str, Path], unused_for: float, whole: bool = True) -> str:
    """Return the list, by kind, and the totals.

    Args:
        entries: What there is.
        places: The folder of each kind.
        unused_for: Seconds: what was used within them is not removed.
        whole: Whether these are all entries; if they are only some, kinds without any are left out.
    """
    lines = []
    for kind in inventory.KINDS:
        of_kind = [entry for entry in entries if entry.kind == kind]
        if not (of_kind or whole):
            continue
        lines.append(f"{_TITLES[kind]}, in {places[kind]}: {size_of(of_kind) if of_kind else 'none'}")
        for group in _grouped(of_kind):
            lines += _lines(group, unused_for)
        lines.append("")
    return "\n".join(lines + (_totals(entries, unused_for) if whole else []))


def removable(
    entries: Sequence[Entry], names: Sequence[str], unused_for: float, unfinished: bool
) -> list[Entry]:
    """Return what may be removed: what is unused and was not used lately, or what is named.

    Raises:
        ConfigError: something is named that is used, or is never removed.
    """
    if not names:
        states = (UNUSED, UNFINISHED) if unfinished else (UNUSED,)
        return [entry for entry in entries if entry.state in states and not is_recent(entry, unused_for)]
    for entry in entries:
        if entry.state in (USED, LISTED, FOREIGN):
            raise ConfigError(f"{entry.name} is not removed: {entry.why or entry.what}. Nothing was removed")
    return list(entries)


def is_recent(entry: Entry, unused_for: float) -> bool:
    """Return whether somebody used an entry within some seconds, and may be about to use it again."""
    return not entry.left and entry.last_used > time.time() - unused_for


def remove(entries: Sequence[Entry]) -> Iterable[str]:
    """Remove entries; yield a line for each that is kept, and at the end how much was removed.

    Raises:
        StorageError: the system refused some of it.
    """
    removed, refused = [], []
    try:
        for entry in entries:
            try:
                kept = removal.remove(entry)
            except OSError as error:
                refused.append((entry, error))
                continue
            if kept is None:
                removed.append(entry)
            else:
                yield f"kept {entry.name}: {kept}"
    finally:  # after Ctrl-C too
        yield f"removed {_count(removed)}, {size_of(removed)}"
    if refused:
        entry, error = refused[0]
        more = f" and {len(refused) - 1} more" if refused[1:] else ""
        advice = "check whether you may write there"
        raise StorageError(f"{entry.name}{more} could not be removed ({error.strerror or error}); {advice}")


def size_of(entries: Iterable[Entry]) -> str:
    """Return how large entries are, in words."""
    size = sum(entry.size for entry in entries)
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _means(name: str, entry: Entry) -> bool:
    return entry.name == name or fnmatch.fnmatchcase(entry.name, name)


def _grouped(entries: Sequence[Entry]) -> list[list[Entry]]:
    def alike(entry):
        return entry.name, entry.state, entry.what, entry.why

    return [list(group) for _, group in itertools.groupby(sorted(entries, key=alike), alike)]


def _lines(group: list[Entry], unused_for: float) -> list[str]:
    first, used = group[0], max(entry.last_used for entry in group)
    number = f" ({len(group)} files)" if group[1:] else ""
    why = first.why
    if first.state in (UNUSED, UNFINISHED) and any(is_recent(entry, unused_for) for entry in group):
        why += "; kept for now, since it was used lately"
    head = f"  {first.state:<11} {size_of(group):>10}  {_ago(used):<14} {first.name}{number}"
    return [head, *itertools.chain(*map(_wrapped, filter(None, (first.what, why))))]


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, 100, initial_indent=" " * 6, subsequent_indent=" " * 8, break_on_hyphens=False)


def _ago(moment: float) -> str:
    """Return how long ago something was, in words."""
    seconds = time.time() - moment
    if seconds > 60 * DAY:
        return time.strftime("%Y-%m-%d", time.localtime(moment))
    for unit, length in (("day", DAY), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "now"


def _totals(entries: Sequence[Entry], unused_for: float) -> list[str]:
    unused = [entry for entry in entries if entry.state == UNUSED]
    lately = [entry for entry in unused if is_recent(entry, unused_for)]
    rows = (
        ("used", [entry for entry in entries if entry.state == USED], ""),
        ("unused", [entry for entry in unused if entry not in lately], "--remove removes them"),
        ("unused, but used lately", lately, "--remove --unused-for 0d removes them too"),
        ("unfinished models", [e for e in entries if e.state == UNFINISHED], "--remove --unfinished removes them too"),
        ("damaged, or not known", [e for e in entries if e.state in (DAMAGED, UNKNOWN)], "--remove NAME removes them"),
        ("listed only", [entry for entry in entries if entry.state in (LISTED, FOREIGN)], "never removed"),
    )
    return [
        f"{what + ':':<25} {size_of(found):>10}  in {_count(found)}{f' ({how})' if how else ''}"
        for what, found, how in rows if found
    ] or ["nothing is stored"]  # fmt: skip


def _count(entries: Sequence[Entry]) -> str:
    return f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}"
