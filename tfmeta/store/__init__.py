"""What a run leaves behind: results, checkpoints, where they come from, and one run at a time in a folder."""

from tfmeta.store import atomic, checkpoints, lock, provenance, results

__all__ = ["atomic", "checkpoints", "lock", "provenance", "results"]
