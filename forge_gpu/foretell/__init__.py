"""What a job will take, before it runs: see docs/estimate.md.

Here: the job run over pieces of its inputs (`sample`), and the whole from that (`predict`). Not here:
formulas of what a job does; the job itself is asked.
"""
