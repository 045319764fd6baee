"""`tfmeta bench`: how fast the code is on this machine, as ratios measured in one run.

Contenders take turns, and the best turn of each counts, because other load on a machine only ever slows down.
"""
