"""What this machine has, and the memory budget that follows from it.

Here: the probe of GPUs, cores, memory and disk, the shares of the budget, measured rates. Not here: choosing
a model or an engine, which is the planner's.
"""
