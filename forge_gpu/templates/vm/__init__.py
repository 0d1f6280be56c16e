"""Templates compiled to code for a small machine, which a kernel runs over the JSON of each row.

Here: a file for each kind of syntax, from Jinja's tree to instructions. Not here: running them, which is
`kernels`: `reference/vm_run.py` shows what an instruction means.
"""
