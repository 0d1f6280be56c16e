"""Inputs and outputs as bytes: files, URLs, formats, sources cut into ranges, atomic writes, locks.

Here: whatever knows a file format, a store or a system call. Not here: what the bytes of a row mean
(`records`, `templates`) and which rows are written (`job`).
"""
