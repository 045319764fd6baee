"""Read arrays from a pickle without running anything in it: the reasons are in docs/explanation/reading-pickles.md.

This reader accepts dicts, lists, tuples, texts, numbers and numpy's arrays of numbers. It carries out none of the calls
by which numpy writes arrays; it notes what each array would be and where in the file its bytes are. It refuses every
other name, call and operation, and files of more than a million operations.
"""

from tfmeta.datasets.safe_pickle.arrays import Array, Malformed, Text
from tfmeta.datasets.safe_pickle.reader import read_pickle

__all__ = ["Array", "Malformed", "Text", "read_pickle"]
