"""One sentence that says what was found, for the end of a command."""

from collections.abc import Mapping, Sequence
from typing import Any

_BEFORE_ATTACK = 1  # in curves over rounds: the last model that the attack has not changed
_BACKDOORS = ("backdoor_train", "backdoor_validation")
_COMPARED = ("ablation-full", "ablation-no-defence")


def sentence(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Return main task, meta-test and backdoor accuracy of documents, such as those of a figure.

    Accuracies are means over users at the last point; "backdoor 1.00 / 0.98" is on the attacker's and on held-out
    images. A delta curve is read at the configuration's delta and at the last one. Of ablations, the full defence is
    compared with no defence if both are there.

    Args:
        documents: Results, by case or by any other name; the names are not read.

    Returns:
        The sentence, without a full stop; empty if the documents have no accuracies.
    """
    compared = [document for document in documents.values() if document["experiment"] in _COMPARED]
    shown = compared if len({document["experiment"] for document in compared}) > 1 else documents.values()
    return "; ".join(part for document in shown for part in _parts(document))


def _parts(document: Mapping[str, Any]) -> list[str]:
    """Return what was found at each point of a document that counts."""
    after, before = ([one for one in document["curves"] if one["split"] == split] for split in ("after", "before"))
    if not after:
        return []
    title = document.get("measurements", {}).get("title")
    who = ("" if title is None else f"{title}, ") + f"case ({document['case']})"
    x, x_name, last = after[0]["x"], after[0]["x_name"], len(after[0]["x"]) - 1
    if x_name == "delta":
        own = [place for place, delta in enumerate(x[:-1]) if delta == document["config"]["defence"]["delta"]]
        return [f"{who} with delta = {x[at]:g}: {_found(after, at, before, at)}" for at in (*own, last)]
    if x_name == "round":
        early = x.index(_BEFORE_ATTACK) if _BEFORE_ATTACK in x else 0
        return [f"{who} in round {x[last]:g}: {_found(after, last, after, early)}"]
    return [f"{who} after {x[last]:g} iterations: {_found(after, last, before, last)}"]


def _found(after: Sequence[Mapping], at: int, before: Sequence[Mapping], earlier: int) -> str:
    now = [_mean(after, metric, at) for metric in ("main", "meta_test", *_BACKDOORS)]
    words = "main task {}, meta-test {}, backdoor {} / {}".format(*now)
    then = [_mean(before, metric, earlier) for metric in _BACKDOORS]
    return words + (" (before the attack {} / {})".format(*then) if before else "")


def _mean(curves: Sequence[Mapping], metric: str, at: int) -> str:
    """Return the mean over users at a point, or a dash if it was not measured."""
    values = [curve["mean"][at] for curve in curves if curve["metric"] == metric]
    return f"{sum(values) / len(values):.2f}" if values else "-"
