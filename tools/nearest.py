"""Print "(did you mean NAME?)" for a misspelt variable, or nothing: nearest.py MISSPELT NAME..."""

import difflib
import sys

misspelt, *names = sys.argv[1:]
for name in difflib.get_close_matches(misspelt.upper(), names, n=1):
    print(f"(did you mean {name}?)")
