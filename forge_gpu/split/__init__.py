"""Which split each row goes to, and which rows a mixture takes: decisions over arrays of integers.

Here: exact sizes, strata, groups, times, thresholds, weights. Not here: where their arrays come from.
"""
