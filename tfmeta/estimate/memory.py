"""How much memory a run needs, by part."""

import math

from tfmeta.config import Config
from tfmeta.estimate import costs
from tfmeta.estimate.shapes import Shapes
from tfmeta.meta_learning.evaluation import points_upto, side_by_side
from tfmeta.models.base import PureModel
from tfmeta.models.flat import layout_of

_FLOAT = 4  # bytes
_PROCESS, _WORKER = 450 * 2**20, 150 * 2**20  # measured: Python with TensorFlow, its graphs and TFF; TFF's worker
_READING = 3  # copies of a client's images while they are read, beside the one that stays
_BATCH_INDEX = 16  # bytes per place in an episode's stream of batches: random scores, their order, and copies
_OF_A_CLIENT = 8  # copies of the weights: what it received, Adam's moments, its update, what is sent
_OF_THE_SERVER = 8
_OF_AN_EPISODE = 5  # copies of the weights that an episode or a task holds while it waits: its own, moments, results
PARTS = {  # what needs memory -> the fields that decide how much
    "this process": (),
    "TFF's worker": (),
    "weights": ("meta_learning.filters", "meta_learning.ways", "federation.clients_per_round"),
    "images of the clients": ("federation.clients_per_round",),
    "training": (
        "meta_learning.inner_batch_size", "meta_learning.meta_batch_size", "federation.clients_per_round",
        "meta_learning.filters", "meta_learning.inner_steps", "attack.inner_steps", "meta_learning.ways",
        "meta_learning.shots",
    ),
    "images of the tasks": ("evaluation.tasks", "evaluation.task_shots", "evaluation.users", "meta_learning.ways"),
    "measuring": (
        "meta_learning.inner_batch_size", "evaluation.fine_tuning_steps", "evaluation.task_shots",
        "meta_learning.filters", "meta_learning.ways", "evaluation.tasks", "defence.extra_episodes",
    ),
}  # fmt: skip


def of(config: Config, model: PureModel, shapes: Shapes, cores: int) -> dict[str, int]:
    """Return bytes by part, a name in `PARTS`.

    Training and measuring are added up, since TensorFlow keeps what it once had. Clients run side by side in TFF's
    worker, and one after another in this process; in both, the episodes of a meta-batch run side by side. How many
    tasks run side by side is what `evaluation` decides, which heeds the memory too. Of all that run side by side, only
    about as many are within a step as there are cores; the others wait for their next one. A GPU's memory is not
    looked at.
    """
    federation = config.federation
    through_tff = federation.runtime == "tff"
    clients = federation.clients_per_round if through_tff else 1
    images = shapes.shard * math.prod(shapes.image)
    return {
        "this process": _PROCESS,
        "TFF's worker": _WORKER if through_tff else 0,
        "weights": weights(config, model),
        "images of the clients": images * (clients + _READING * min(clients, cores)),
        "training": _training(config, model, clients, cores),
        "images of the tasks": shapes.of_tasks(config),
        "measuring": _measuring(config, model, shapes, cores),
    }


def weights(config: Config, model: PureModel) -> int:
    """Return the bytes of all copies of the weights that are not an episode's or a task's."""
    federation, size = config.federation, layout_of(model).size * _FLOAT
    clients = federation.clients_per_round * (_OF_A_CLIENT if federation.runtime == "tff" else 2)
    return size * (clients + _OF_THE_SERVER)


def _training(config, model, clients, cores):
    """Return the bytes of the episodes side by side, each with its images, its batches, and copies of the weights."""
    learning = config.meta_learning
    images = learning.ways * learning.shots
    batches = max(learning.inner_steps, config.attack.inner_steps) * learning.inner_batch_size
    pixels = 2 * images * math.prod(model.image_shape)
    waiting = pixels + (images + batches) * _BATCH_INDEX + _OF_AN_EPISODE * layout_of(model).size * _FLOAT
    number = clients * learning.meta_batch_size
    return number * waiting + min(number, cores + 1) * costs.step(model, learning.inner_batch_size).memory


def _measuring(config, model, shapes, cores):
    """Return the bytes of the tasks side by side, of their answers, and of the models that tasks start from."""
    evaluation, learning, size = config.evaluation, config.meta_learning, layout_of(model).size * _FLOAT
    support, queries = learning.ways * evaluation.task_shots, learning.ways + shapes.queries
    at_once = min(evaluation.tasks, max(cores, side_by_side(model.image_shape, model.filters, support, queries)))
    plain, matching = costs.step(model, learning.inner_batch_size), costs.matching_step(model, support)
    largest = max(plain.memory, matching.memory, costs.prediction(model, support + queries).memory)
    images = (support + queries) * math.prod(model.image_shape) * (_FLOAT + 1)
    batches = (support + evaluation.fine_tuning_steps * learning.inner_batch_size) * _BATCH_INDEX
    answers = evaluation.tasks * len(points_upto(evaluation.fine_tuning_steps)) * queries * _FLOAT
    own_weights = 2 * evaluation.tasks * size if config.defence.extra_episodes else 0
    waiting = images + batches + _OF_AN_EPISODE * size
    return at_once * waiting + min(at_once, cores + 1) * largest + answers + own_weights
