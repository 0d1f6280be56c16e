"""From the goal, the data and the machine to a plan, with a reason for each value.

Here: whatever `forge plan` looks at, chooses and refuses. Not here: work that a job repeats: a sample is
read by the job's own code.
"""
