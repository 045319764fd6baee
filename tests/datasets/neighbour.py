"""How hard a bank is for the simplest few-shot learner: the nearest neighbour in pixels."""

import numpy as np


def nearest_neighbour(images, shots, ways=5, episodes=600, seed=0):
    """Return the share of queries (one per class) whose nearest support image is of their class."""
    random = np.random.default_rng(seed)
    right = []
    for _ in range(episodes):
        classes = random.choice(len(images), ways, replace=False)
        examples = np.stack([random.permutation(images.shape[1])[: shots + 1] for _ in classes])
        drawn = images[classes[:, None], examples].reshape(ways, shots + 1, -1).astype(np.float32)
        support, query = drawn[:, :shots].reshape(ways * shots, -1), drawn[:, shots]
        distance = ((query[:, None] - support[None]) ** 2).sum(-1)
        right.append((distance.argmin(1) // shots == np.arange(ways)).mean())
    return float(np.mean(right))
