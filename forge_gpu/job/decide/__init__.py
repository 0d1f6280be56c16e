"""The decisions about all rows: each settles the fate of rows that are still open.

Here: `decide.STEPS` and what they gather from the index. Not here: texts; a decision sees integers, and
reads rows again only to compare candidates (`candidates`, `clusters`).
"""
