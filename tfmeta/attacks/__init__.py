"""Attacks on federated meta-learning, one file per attack; triggers have a package of their own."""
