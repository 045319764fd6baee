"""Triggers: the small patterns that a backdoored model takes for the target class, one file per pattern."""
