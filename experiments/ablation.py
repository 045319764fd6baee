"""The defence's parts, one change at a time from the full defence (section 4 claims that each matters).

Cases (a) and (c), the tasks of users 2, 3 and 4 together, at the start, a tenth, two fifths and the end of
fine-tuning (0, 50, 200 and 500 of the paper's 500 iterations).
"""

from experiments import names_of
from experiments.measured import MODELS, POOLED, pooled, result
from tfmeta.data.partition import BENIGN
from tfmeta.tasks import ATTACKED

# part -> (method, function of the run's configuration that returns the changed fields)
CHANGES = {
    "full": ("matching", lambda config: {}),
    "no-defence": ("softmax", lambda config: {}),
    "softmax-head": ("softmax-mixed", lambda config: {}),
    "no-mix": ("matching", lambda config: {"delta": 1.0}),
    "no-fine-tuning": ("matching", lambda config: {}),
    "one-phase": ("matching", lambda config: {"attention_steps": 0}),
    "gates-fixed": ("matching", lambda config: {"gates": "fixed"}),
    "beta-1": ("matching", lambda config: {"beta_initial": 1.0}),
    "beta-100": ("matching", lambda config: {"beta_initial": 100.0}),
    "head-rate-x10": (
        "matching",
        lambda config: {"eta_alpha": min(10 * config.eta_alpha, 1.0), "eta_beta": min(10 * config.eta_beta, 1.0)},
    ),
}
# of these the model before the attack is measured too: what the defence, and its absence, do where nothing is to remove
BASELINES = ("full", "no-defence")


def run(name, lab, case):
    """Measure one part's change in one case; return the path of its document."""
    part = name.removeprefix("ablation-")
    method, changed = CHANGES[part]
    variant = lab.variant(**changed(lab.config))
    return result(variant, name, case, lambda: (_curves(variant, part, method, case), {"notes": [POOLED]}, {}))


def _curves(lab, part, method, case):
    lab.model(case, ATTACKED)
    from tfmeta.evaluation import method_of, points_upto, tenths

    points, (_, head) = points_upto(lab.config.finetune_steps), method_of(method)
    shown = (0,) if part == "no-fine-tuning" else tenths(lab.config.finetune_steps)
    rows = [points.index(point) for point in shown]
    models = MODELS if part in BASELINES else {"after": ATTACKED}
    curves = []
    with lab.bar(len(models) * (len(BENIGN) + 1), f"ablation ({case}): {part}", "set of tasks") as bar:
        for split, x in models.items():
            curves += [
                {
                    "user": None, "head": head, "metric": metric, "split": split,
                    "x": shown, "x_name": "iteration", "task_values": values[rows],
                }
                for metric, values in pooled(lab, case, x, points, method, bar.update).items()
            ]  # fmt: skip
    return curves


if __name__ == "__main__":
    from tfmeta.cli import experiment_command

    experiment_command(*names_of("ablation"))()
