"""The delta mix: theta' = delta theta + (1 - delta) theta_g, theta_g a fresh initialisation (section 4, ledger 28).

What was trained, poison included, is turned down against noise of the size that training began with; fine-tuning
then finds the task's own features again.
"""

import logging

import numpy as np

from tfmeta import episodes
from tfmeta.config.layers import WEIGHTS, chosen

_log = logging.getLogger(__name__)
_DRAW = 7  # what a task's seed is folded with for its theta_g


def theta_g(model, seed):
    """Return a task's fresh initialisation, a list like the model's weights; ``seed``: the task's, int32 [2]."""
    return model.fresh_weights(episodes.fold(seed, _DRAW))


def mixed(model, config, weights, seed):
    """Return theta', a list of tensors.

    Args:
      model: ``Conv4``.
      config: ``Config``; reads delta and mixed_layers (weights that those do not name stay as they are).
      weights: list of tensors, theta.
      seed: int32 [2], the task's: each task has a theta_g of its own.
    """
    names = chosen(config.mixed_layers)
    return [
        config.delta * trained + (1.0 - config.delta) * fresh if name in names else trained
        for name, trained, fresh in zip(WEIGHTS, weights, theta_g(model, seed), strict=True)
    ]


def norms(model, weights, seeds):
    """Return the Euclidean norms of theta and of the tasks' theta_g, by weight.

    ``seeds``: int32 [tasks, 2]. Returns {weight's name, or "embedding" for all of the convolutions and their norms
    together: {"theta", "theta_g" (mean over tasks), "ratio" (None where theta_g is 0)}}.
    """
    trained = [_norm(part) for part in weights]
    drawn = np.mean([[_norm(part) for part in theta_g(model, seed)] for seed in seeds], 0)
    pairs = dict(zip(WEIGHTS, zip(trained, drawn, strict=True), strict=True))
    pairs["embedding"] = tuple(_norm(side[:-2]) for side in (trained, drawn))
    return {
        name: {"theta": float(own), "theta_g": float(fresh), "ratio": float(own / fresh) if fresh else None}
        for name, (own, fresh) in pairs.items()
    }


def log_norms(found, delta, what):
    """Say the norms that ``norms`` found: one line of kernels and the embedding; of all weights, as a detail."""
    words = {name: f"{name} {pair['theta']:.3g} / {pair['theta_g']:.3g}" for name, pair in found.items()}
    short = [text.replace("/kernel", "") for name, text in words.items() if name.endswith(("/kernel", "embedding"))]
    _log.info("|theta| / |theta_g| (%s, delta %g): %s", what, delta, ", ".join(short))
    _log.debug("norms of theta / theta_g by weight: %s", ", ".join(words.values()))


def _norm(values):
    return np.linalg.norm(np.ravel(np.asarray(values, np.float64)))
