"""Models in words: stage, rounds, the nearest profile and the fields that differ from it, and other code."""

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfmeta import registry
from tfmeta.config import PROFILE_NAMES, make_config
from tfmeta.config.tags import short_name
from tfmeta.errors import ConfigError
from tfmeta.plugins import code
from tfmeta.store.compare import modules_of

if TYPE_CHECKING:
    from tfmeta.inventory.models import Model

_STAGES = {"pretraining": "pre-training", "attack": "attack", "rounds": "rounds after the attack"}
_MOST = 4  # fields that are named


def model(of: "Model", before: Mapping[str, Any]) -> str:
    """Return what a folder of models is; `before` has what fields count as that it does not store."""
    said = [of.dataset, _STAGES[of.stage]]
    if of.origin is not None:
        said.append(f"backdoor classes {'known' if of.origin.knows else 'not known'}")
    if of.rounds:
        first, last = of.rounds[0], of.rounds[-1]
        said.append(f"round {last}" if first == last else f"rounds {first} to {last}")
    if of.origin is not None:
        said.append(_profile(of.dataset, of.stage, of.origin.fields, before))
        said.append(_code(of.manifest))
    return ", ".join(filter(None, said))


def counted(users: Sequence[str]) -> str:
    """Return how many results and parts there are among some files, and the first one."""
    results = sum(name.endswith(".json") for name in users)
    pairs = ((results, "result"), (len(users) - results, "measured set"))
    counts = [f"{count} {word}{'s' if count > 1 else ''}" for count, word in pairs if count]
    return f"{' and '.join(counts)}, such as {users[0]}"


def _profile(dataset: str, stage: str, stored: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """Return the profile with the fewest other values, and those."""
    given = {**before, **stored}
    known = dataset if dataset in registry.names("datasets") else registry.PAPER_DATASETS[0]
    differing = {}
    for name in PROFILE_NAMES:
        try:
            plain = _plain(known, name, stage)
        except ConfigError:  # a data set of a package that cannot be used
            return ""
        differing[name] = {field: given.get(field) for field in plain if given.get(field) != plain[field]}
        # options of plug-ins, where they are not the default
        options = given.keys() - plain.keys()
        differing[name] |= {field: given[field] for field in options if given[field] != before.get(field)}
    nearest = min(PROFILE_NAMES, key=lambda name: len(differing[name]))
    changed = [f"{_short(name)}={value}" for name, value in sorted(differing[nearest].items())]
    more = f" and {len(changed) - _MOST} more" if len(changed) > _MOST else ""
    return f"profile {nearest}" + (f" with {', '.join(changed[:_MOST])}{more}" if changed else "")


@functools.cache
def _plain(dataset: str, profile: str, stage: str) -> dict[str, Any]:
    return make_config(dataset, profile).upto(stage)


def _short(name: str) -> str:
    try:
        return short_name(name)
    except (KeyError, ValueError):
        return name


def _code(manifest: dict[str, Any]) -> str:
    """Return how many of the package's modules have other code now."""
    if "code" not in manifest:
        return "computed before the code was recorded"
    stored = {name: digest for name, digest in modules_of(manifest).items() if "." in name and " " not in name}
    others = sum(code.digest_of(name) != digest for name, digest in stored.items())
    return f"computed by other code ({others} module{'s differ' if others > 1 else ' differs'})" if others else ""
