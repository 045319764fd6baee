"""Triggers: the small patterns that turn an image of a backdoor class into the target class; one file a pattern."""
