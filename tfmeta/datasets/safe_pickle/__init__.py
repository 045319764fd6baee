"""Read arrays from a pickle without running anything in it.

A pickle is a program for a small stack machine, and mini-ImageNet circulates as pickles from unknown sources. Python's
own reader calls any function that the program names, and takes as much memory as the program asks for. Restricting the
names (`Unpickler.find_class`) leaves the second danger: a file of a hundred bytes can still fill the memory.

This reader knows the operations that make dicts, lists, tuples, texts and numbers, and the calls by which numpy writes
arrays. It carries out none of the calls: it notes what the array would be and where in the file its bytes are. So a
file can be refused but cannot do anything, and its images take no memory unless they were written as text. It refuses
every other name, call and operation, arrays of objects, dates or fields, names over 1024 bytes, and files of more than
a million operations.
"""

from tfmeta.datasets.safe_pickle.machine import read_pickle
from tfmeta.datasets.safe_pickle.parts import Array, Malformed, Raw

__all__ = ["Array", "Malformed", "Raw", "read_pickle"]
