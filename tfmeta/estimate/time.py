"""How long a run takes, by part.

A step's time is that of its multiply-adds, of the bytes that its operations move, and of starting the operations, each
at a rate per core. The rates were fitted to Reptile's inner steps: Conv4 with 8 to 256 filters, and ResNet-12 with a
quarter of its widths, on 28x28x1 and 84x84x3 images, in batches of 10 to 100, five episodes side by side on the two
cores of a virtual machine (AMD EPYC, AVX-512). There a core did 69 billion multiply-adds, moved 12 GB or started
140,000 operations in a second of its own time, and the fit met all 12 cases within 18%. Cores also wait for the last
episode of a meta-batch, so the rates below are a sixth lower. Estimates are good to a factor of about two on that
machine when nothing else runs there.
"""

from tfmeta.config import Config
from tfmeta.estimate import costs
from tfmeta.estimate.graph import Cost
from tfmeta.estimate.shapes import Shapes
from tfmeta.estimate.work import Work
from tfmeta.meta_learning.evaluation import points_upto, side_by_side
from tfmeta.models.base import PureModel

MULTIPLY_ADDS, TRAFFIC, OPERATION = 58e9, 10e9, 8.5e-6  # per second and core; bytes per second and core; seconds
_START = {"tff": 25.0, "inprocess": 12.0}  # seconds in which modules are imported and graphs are traced
PARTS = {  # what takes time -> the fields that decide how much
    "start": (),
    "pre-training": (
        "federation.pretraining_rounds", "federation.pretraining_episodes", "federation.clients_per_round",
        "meta_learning.inner_steps", "meta_learning.inner_batch_size", "meta_learning.filters",
    ),
    "the attack": (
        "attack.episodes", "attack.inner_steps", "federation.attackers", "meta_learning.inner_batch_size",
        "meta_learning.filters",
    ),
    "benign rounds": (
        "federation.rounds_after", "federation.round_episodes", "federation.clients_per_round",
        "meta_learning.inner_steps", "meta_learning.inner_batch_size", "meta_learning.filters",
    ),
    "measuring": (
        "evaluation.tasks", "evaluation.fine_tuning_steps", "evaluation.users", "evaluation.task_steps",
        "meta_learning.inner_batch_size", "meta_learning.filters", "defence.extra_episodes", "federation.rounds_after",
        "evaluation.task_shots",
    ),
}  # fmt: skip


def of(config: Config, model: PureModel, shapes: Shapes, cores: int, work: Work) -> dict[str, float]:
    """Return seconds by part, a name in `PARTS`; those of measuring are 0 where nothing is measured, and so on."""
    learning, attack = config.meta_learning, config.attack
    clients = config.federation.clients_per_round if config.federation.runtime == "tff" else 1
    step = seconds(costs.step(model, learning.inner_batch_size))
    alone = step / min(cores, learning.meta_batch_size)
    together = step / min(cores, learning.meta_batch_size * clients)
    return {
        "start": _START[config.federation.runtime] if any(work) else 0.0,
        "pre-training": work.pretraining * learning.inner_steps * together,
        "the attack": work.poisoned * attack.inner_steps * alone,
        "benign rounds": work.benign * learning.inner_steps * together,
        "measuring": work.seconds + sum(_measuring(config, model, shapes, cores, one) for one in work.measured),
    }


def seconds(cost: Cost) -> float:
    """Return how long one core takes."""
    return cost.multiply_adds / MULTIPLY_ADDS + cost.traffic / TRAFFIC + cost.operations * OPERATION


def _measuring(config, model, shapes, cores, measured):
    """Return the seconds of one `Measured`."""
    learning, support = config.meta_learning, config.meta_learning.ways * config.evaluation.task_shots
    queries = learning.ways + shapes.queries
    at_once = min(cores, measured.tasks, side_by_side(model.image_shape, model.filters, support, queries))
    plain = seconds(costs.step(model, learning.inner_batch_size))
    step = seconds(costs.matching_step(model, support)) if measured.matching else plain
    predictions = len(points_upto(measured.steps)) * seconds(costs.prediction(model, support + queries))
    extra = measured.extra_episodes * learning.inner_steps * plain / min(cores, learning.meta_batch_size)
    return measured.sets * measured.tasks * ((measured.steps * step + predictions) / at_once + extra)
