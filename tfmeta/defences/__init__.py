"""What a user can do alone against a backdoor, one file per defence."""
