"""What a run leaves behind: results, checkpoints, where they come from, and a lock for one run at a time."""

from tfmeta.store import atomic, checkpoints, lock, provenance, results

__all__ = ["atomic", "checkpoints", "lock", "provenance", "results"]
