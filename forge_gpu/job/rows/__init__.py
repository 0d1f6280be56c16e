"""From a chunk of the source to the rows of the job: binding, conversions, expansions, cuts, tokens.

An expansion makes several rows, its parts, of one; `expansions` lists them all. One that needs a process or
a model says how to `open` it. Not here: what is decided about rows.
"""
