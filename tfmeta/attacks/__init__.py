"""Attacks on federated meta-learning: one file an attack; triggers have a package of their own."""
