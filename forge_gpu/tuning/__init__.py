"""Settings chosen by measuring them on a part of the data: a file for each question.

Here: candidates, and the trade between them. Not here: what a job does with a setting; one `look` at the
job's own code is all that it measures.
"""
