"""The noise mix, with a softmax head: supervised fine-tuning from theta' = delta theta + (1 - delta) theta_g.

theta_g is a fresh initialisation (section 4, appendix A.2, ledger 28). The mix weakens what was trained, the poison
included, and fine-tuning then learns the task's own features again.
"""

import logging
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfmeta.config import Config
from tfmeta.defences import fine_tuning
from tfmeta.models.conv4 import Conv4
from tfmeta.models.layer_names import chosen
from tfmeta.utils.seeds import fold

HEAD = fine_tuning.HEAD

_log = logging.getLogger(__name__)
_FRESH = 7  # what a task's seed is folded with for its theta_g


def adapt(
    model: Conv4, config: Config, weights: list[tf.Tensor], support: tf.Tensor, labels: tf.Tensor,
    query_groups: Sequence[tf.Tensor], seed: tf.Tensor, points: Sequence[int],
) -> tf.Tensor:  # fmt: skip
    """Fine-tune by supervised learning from theta'; the last layer is mixed too.

    Arguments and result as in `fine_tuning.adapt`; also reads delta and mixed_layers.
    """
    start = mixed(model, config, weights, seed)
    return fine_tuning.adapt(model, config, start, support, labels, query_groups, seed, points)


def fresh(model: Conv4, seed: tf.Tensor) -> list[tf.Tensor]:
    """Return a task's fresh initialisation theta_g, like the model's weights; `seed` int32 [2] is the task's."""
    return model.fresh_weights(fold(seed, _FRESH))


def mixed(model: Conv4, config: Config, weights: list[tf.Tensor], seed: tf.Tensor) -> list[tf.Tensor]:
    """Return theta' for theta `weights` and a task's `seed`, int32 [2]; only the layers of mixed_layers are mixed."""
    delta, names = config.defence.delta, chosen(config.defence.mixed_layers, model.weight_names)
    return [
        delta * trained + (1.0 - delta) * random if name in names else trained
        for name, trained, random in zip(model.weight_names, weights, fresh(model, seed), strict=True)
    ]


def norms(model: Conv4, weights: list[np.ndarray], seeds: np.ndarray) -> dict[str, dict[str, float | None]]:
    """Return the Euclidean norms of theta `weights` and of the theta_g of tasks with `seeds`, int32 [tasks, 2].

    Returns:
        For each weight's name, and for "embedding" (all modules together): "theta", "theta_g" (the mean over tasks),
        and their "ratio" (None where theta_g is 0).
    """
    trained = [_norm(part) for part in weights]
    drawn = np.mean([[_norm(part) for part in fresh(model, seed)] for seed in seeds], 0)
    pairs = dict(zip(model.weight_names, zip(trained, drawn, strict=True), strict=True))
    pairs["embedding"] = tuple(_norm(model.embedding_of(side)) for side in (trained, drawn))
    return {
        name: {"theta": float(own), "theta_g": float(random), "ratio": float(own / random) if random else None}
        for name, (own, random) in pairs.items()
    }


def log_norms(found: dict[str, dict[str, float | None]], delta: float, what: str) -> None:
    """Log what `norms` returned: kernels and the embedding in one line, and all weights at level debug."""
    words = {name: f"{name} {pair['theta']:.3g} / {pair['theta_g']:.3g}" for name, pair in found.items()}
    short = [text.replace("/kernel", "") for name, text in words.items() if name.endswith(("/kernel", "embedding"))]
    _log.info("|theta| / |theta_g| (%s, delta %g): %s", what, delta, ", ".join(short))
    _log.debug("norms of theta / theta_g by weight: %s", ", ".join(words.values()))


def _norm(values):
    return np.linalg.norm(np.ravel(np.asarray(values, np.float64)))
