"""Print the one of the names that is most like a misspelt one, if any is: nearest.py MISSPELT NAME..."""

import sys
from difflib import get_close_matches

print(*get_close_matches(sys.argv[1].upper(), sys.argv[2:], n=1))
