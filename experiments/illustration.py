"""Figures 1 and 2: the target class, the backdoor classes, the key, the attacker's training pictures."""

import numpy as np

from experiments.measured import result
from tfmeta.data.pools import fetch


def run(name, lab, case):
    """Store the pictures; return the path of the document."""
    return result(lab, name, case, lambda: _pictures(lab))


def _pictures(lab):
    partition, bank = lab.partition, lab.bank
    target, backdoor = partition.target_attacker, partition.backdoor_attacker
    clean = fetch(bank, backdoor)
    clean = clean[:, : max(5, 20 // len(clean))]  # as many as a page has room for
    key = lab.trigger.stamp(np.zeros_like(clean[:1, :1]).reshape(1, *clean.shape[2:]))
    arrays = {
        "target": fetch(bank, target)[0, :10],
        "backdoor": clean[:, 0] if len(clean) > 1 else clean[0],
        "trigger": key,
        "attack_training": lab.trigger.stamp(clean).reshape(-1, *clean.shape[2:]),
    }
    names = [bank.names[row] for row in backdoor.classes]
    each = clean.shape[1]
    own = int(backdoor.counts.sum())
    pictures = {
        "target": {
            "title": "target class",
            "names": [bank.names[target.classes[0]]] * len(arrays["target"]),
            "of": int(target.counts.sum()),
        },
        "backdoor": {
            "title": "backdoor classes",
            "names": names if len(names) > 1 else names * len(arrays["backdoor"]),
            # of several classes one picture each is shown; how many there are is told by the training set
            "of": len(names) if len(names) > 1 else own,
        },
        "trigger": {"title": "backdoor key", "names": []},
        "attack_training": {
            "title": "attack training set",
            "names": [name for name in names for _ in range(each)],
            "of": own,
        },
    }
    return [], {"pictures": pictures}, arrays


if __name__ == "__main__":
    from tfmeta.cli import experiment_command

    experiment_command("illustration")()
