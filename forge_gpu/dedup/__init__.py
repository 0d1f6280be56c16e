"""Which rows are duplicates, near-duplicates or contaminated: decisions over arrays of integers.

Here: functions of hashes, signatures and texts that are given. Not here: reading rows, files, and what
becomes of the rows; `job.decide` does that.
"""
