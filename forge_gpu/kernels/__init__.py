"""Numba string kernels. Always imported as `forge_gpu.kernels`, never as `kernels`.

`layout` holds the memory layouts that kernels share, `reference` the plain-Python meaning of every
kernel, `cpu` and `cuda` the same file names twice.
"""
