"""Meta-learning: episodes, Reptile, tasks, and how a user adapts a model to a task."""
