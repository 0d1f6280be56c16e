"""How passes run: threads of this process or the workers of a cluster, which have one `map`.

A pass (`passes`) declares its stage, its units, what is done with one, what an earlier run has done, and the
room it needs; one function runs it. `pool` gives units to threads, each with a workspace. Not here: what a
pass does.
"""
