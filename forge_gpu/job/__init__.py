"""A job: the passes over the input, the decisions between them, and the checkpoint. See docs/architecture.md.

Here: the order of the work and what lasts between its steps. Not here: how one step computes its result;
that is in the rooms below, which know nothing of jobs.
"""
