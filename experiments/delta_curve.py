"""How much noise the defence needs: accuracies after fine-tuning against delta (section 4, appendix A.1).

The paper leaves the choice of delta open "or, equivalently, ratio between the norms of a trained model and an
initialization": the ratio of what either adds to theta', delta |theta| / ((1 - delta) |theta_g|), is stored too.
"""

import numpy as np

from experiments.measured import MODELS, POOLED, norms, pooled, result
from tfmeta.data.partition import BENIGN
from tfmeta.tasks import ATTACKED

DELTAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def run(name, lab, case):
    """Measure one case; return the path of its document."""
    return result(lab, name, case, lambda: _compute(lab, case))


def _compute(lab, case):
    lab.model(case, ATTACKED)
    from tfmeta.evaluation import points_upto

    steps = lab.config.finetune_steps
    found = {}
    with lab.bar(len(DELTAS) * len(MODELS) * (len(BENIGN) + 1), f"delta curve ({case})", "set of tasks") as bar:
        for delta in DELTAS:
            variant = lab.variant(delta=delta)
            for split, x in MODELS.items():
                for metric, values in pooled(variant, case, x, points_upto(steps), "matching", bar.update).items():
                    found.setdefault((split, metric), []).append(values[-1])
    curves = [
        {
            "user": None, "head": "matching", "metric": metric, "split": split,
            "x": DELTAS, "x_name": "delta", "task_values": np.stack(values),
        }
        for (split, metric), values in found.items()
    ]  # fmt: skip
    sizes = norms(lab, case)
    ratio = sizes["after"]["embedding"]["ratio"]
    measurements = {
        "norms": sizes,
        "ratios": [delta / (1 - delta) * ratio if delta < 1 else None for delta in DELTAS],
    }
    notes = [POOLED, f"each point: {steps} iterations with that delta, whatever delta the configuration says"]
    return curves, {"notes": notes, "measurements": measurements}, {}


if __name__ == "__main__":
    from tfmeta.cli import experiment_command

    experiment_command("delta-curve")()
