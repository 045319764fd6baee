"""`python -m tfmeta` is the command `tfmeta`."""

import importlib.metadata

if __name__ == "__main__":
    (command,) = importlib.metadata.entry_points(group="console_scripts", name="tfmeta")
    command.load()()
