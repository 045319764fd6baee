"""``make bench``: what this machine makes of the code, as ratios measured in one run.

The contenders take turns, and each one's best turn counts, since a shared machine's noise only ever slows down.
"""
