"""The library's engine on data frames: the rules of a job, on frames in memory or in Dask's partitions.

Here: a file for each kind of frame, and passes over their blocks. Not here: rules of their own: a method
calls what the job calls, so both give the same.
"""
