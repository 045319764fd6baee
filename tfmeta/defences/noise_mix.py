"""The noise mix, with a softmax head: supervised fine-tuning from theta' = delta theta + (1 - delta) theta_g.

theta_g is a fresh initialisation (section 4, appendix A.2, ledger 28). The mix weakens what was trained, the poison
included, and fine-tuning then learns the task's own features again.
"""

import logging

import numpy as np
import tensorflow as tf

from tfmeta.defences.base import Defence
from tfmeta.defences.fine_tuning import FineTuning
from tfmeta.models.base import PureModel
from tfmeta.models.layer_names import chosen
from tfmeta.plugins import shared
from tfmeta.utils.seeds import fold

_log = logging.getLogger(__name__)
_FRESH = 7  # what a task's seed is folded with for its theta_g


class NoiseMix(Defence):
    """Supervised fine-tuning from weights mixed with a fresh initialisation; the last layer is mixed too."""

    delta: float = shared()
    mixed_layers: str = shared()

    def adapt(self, model, evaluation, weights, support, labels, query_groups, seed, points):
        """Mix, fine-tune, and return class probabilities; see `Defence.adapt`."""
        start = mixed(model, self.delta, self.mixed_layers, weights, seed)
        return FineTuning().adapt(model, evaluation, start, support, labels, query_groups, seed, points)


def fresh(model: PureModel, seed: tf.Tensor) -> list[tf.Tensor]:
    """Return a task's fresh initialisation theta_g, like the model's weights; `seed` int32 [2] is the task's."""
    return model.fresh_weights(fold(seed, _FRESH))


def mixed(
    model: PureModel, delta: float, mixed_layers: str, weights: list[tf.Tensor], seed: tf.Tensor
) -> list[tf.Tensor]:
    """Return theta' for theta `weights` and a task's `seed`, int32 [2]; only the layers of `mixed_layers` are mixed."""
    names = chosen(mixed_layers, model.weight_names)
    return [
        delta * trained + (1.0 - delta) * random if name in names else trained
        for name, trained, random in zip(model.weight_names, weights, fresh(model, seed), strict=True)
    ]


def norms(model: PureModel, weights: list[np.ndarray], seeds: np.ndarray) -> dict[str, dict[str, float | None]]:
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
