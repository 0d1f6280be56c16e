"""Checks of data without a plan, and of an output folder by its files alone.

Here: what `forge check` and `forge verify` compute, and their reports. Not here: the checks of a job's rows
(`quality`), and what a job checks of its own output (`job.output.verify`).
"""
