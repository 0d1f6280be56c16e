"""Python files: made from a plan, and transforms that are checked, tried and written by a model.

Here: texts of scripts. Not here: running them, which is `sandbox`.
"""
