"""The work on columns of bytes, behind one interface (`base`), on the CPU and on the GPU.

Here: what calls kernels, where memory lies, halving what does not fit, falling back to the CPU. Not here:
what the work is for: rows, plans, files. Only `gpu/` may import the GPU's libraries.
"""
